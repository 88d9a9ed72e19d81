"""Colours on light and dark pages: a colour stands out as much on the one as on the other."""

from __future__ import annotations

from colorsys import hls_to_rgb, rgb_to_hls
from functools import cache

from matplotlib.colors import to_hex, to_rgb

LIGHT, DARK = "#ffffff", "#121212"  # pages, as in sphinx-book-theme; those of JupyterLab are nearly so
MARK, TEXT = 3.0, 4.5  # the least contrasts that WCAG 2.2 asks for of what is drawn, and of text
BRIGHTER = 2.5


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour))
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(colour: str, page: str) -> float:
    """The contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    low, high = sorted(map(luminance, (colour, page)))
    return (high + 0.05) / (low + 0.05)


@cache
def on(page: str, colour: str, least: float = 1.0) -> str:
    """A colour made for white as it appears on a page: of the same hue, and of the same contrast, but at least `least`.

    On a dark page, where colours look duller, what has to be seen at all has more of it.
    """
    wanted = max(contrast(colour, LIGHT), least)
    if page == LIGHT and wanted == contrast(colour, LIGHT):
        return to_hex(colour)
    hue, _, saturation = rgb_to_hls(*to_rgb(colour))
    if page == DARK:
        wanted += BRIGHTER if least > 1 else 0
    towards, back = float(page == DARK), rgb_to_hls(*to_rgb(page))[1]  # lightness at which contrast is greatest, and least
    for _ in range(24):
        middle = (towards + back) / 2
        enough = contrast(to_hex(hls_to_rgb(hue, middle, saturation)), page) >= wanted
        towards, back = (middle, back) if enough else (towards, middle)
    return to_hex(hls_to_rgb(hue, towards, saturation))


def on_both(colour: str, least: float = MARK) -> list[str]:
    """A colour as it appears on light and on dark pages, where it has to be seen."""
    return [on(page, colour, least) for page in (LIGHT, DARK)]
