"""The live figure of gaps: every setting of the studies as a point, agreement in distribution across and elsewhere up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from html import escape
from typing import Any

import pandas as pd
from matplotlib.markers import MarkerStyle

from lib import figures, prose
from lib.chapters.settings import Row, alike, key, key_of, named, references, row_of, settings
from lib.errors import InputError
from lib.figures.colours import TEXT, on_both
from lib.live.explorer import Explorer
from lib.measuring.intervals import Estimate
from lib.prose import percent, points, tell
from lib.proxies import PROXIES, Proxy, Simplification
from lib.rules import RULES
from lib.studies import Study
from lib.tasks import Look

OPENS_WITH = {"against": "measured", "level": 0}
NUMBER = re.compile(r"−?\d+(?:\.\d+)?")
SAYS = {  # of all points; the page puts numbers in as Python does for the first frame
    "any": "Settings, controls left out: {total}.",
    "level": "Settings, controls left out, that agree with the model in at least {level} % of cases in distribution: {total}.",
    "measured": "Agreement on {split} is lower than {reference} for {above} of these, higher for {below}, and cannot be told "
    "to differ for {unclear}.",
    "foreseen": "What is foreseen on {split} is too high for {above} of these, too low for {below}, and cannot be told from "
    "what is measured for {unclear}.",
}


class GapFigure:
    """Every measured setting of some studies on every split on which gaps are claimed."""

    def __init__(self, studies: Sequence[Study]):
        self.studies = [study for study in studies if study.task.unseen(study.splits)]
        if not self.studies:
            raise InputError("no study has a split on which gaps are claimed, so there are none to show")

    def live(self) -> Explorer:
        """The figure."""
        return Explorer("gap", self.config(), {}, self.still())

    @cached_property
    def rows(self) -> dict[str, dict[str, list[Row]]]:
        """Rows by study and split, in the order of `settings`."""
        found = {study.name: {split: [] for split in study.task.unseen(study.splits)} for study in self.studies}
        for study in self.studies:
            for s in settings(study):  # what is fitted to foresee the gap of a setting is the same on every split
                for split, rows in found[study.name].items():
                    rows.append(row_of(study, s, split))
        return found

    def config(self) -> dict[str, Any]:
        """What the page has to know: numbers are shares to four digits, null where nothing was measured.

        Sentences differ in little but their numbers, so there is each of `phrases` once; see `_Phrases`.
        """
        phrases = _Phrases()
        studies = [self._study(study, phrases) for study in self.studies]
        families = {s.proxy: PROXIES[s.proxy] for study in self.studies for s in settings(study)}
        return {
            "of": "gaps",
            "start": {**OPENS_WITH, "study": self.studies[0].name},
            "levels": [round(100 * level, 2) for level in RULES.levels.sensitivity],
            "says": SAYS,
            "diagnostic": RULES.foreseeing.diagnostic,
            "families": {name: _look(proxy) for name, proxy in families.items()},
            "phrases": list(phrases.known),
            "studies": studies,
        }

    def _study(self, study: Study, phrases: _Phrases) -> dict[str, Any]:
        rows = self.rows[study.name]
        split, s = self.opens_on(study)
        return {
            "name": study.name,
            "measured_on": prose.begin(f"{figures.measured_on(study)}; {figures.interval_note(study)}"),
            "open": {"split": split, "point": key(s)},
            "settings": [_setting(s, study) for s in settings(study)],
            "splits": [
                {
                    "name": split,
                    "label": study.task.look(split).label,
                    "controls": list(self._controls(study, split)),
                    "rows": [_plain(row, phrases) for row in of],
                }
                for split, of in rows.items()
            ],
        }

    def _controls(self, study: Study, split: str) -> Iterator[dict[str, str]]:
        """What a split may be compared with: `label` in words, `on` it, and what is then taken `there`."""
        elsewhere, (first, *others) = study.task.look(split).label, references(study, split)
        yield {"key": key_of(first), "label": named(study, first), "on": named(study, first), "there": elsewhere}
        for reference in others:
            label = named(study, reference)
            there = f"{elsewhere}, {alike(reference)}" if reference.covariates else elsewhere
            on = label if reference.split == study.task.reference else f"on {label}"  # which is "in distribution"
            yield {"key": key_of(reference), "label": label, "on": on, "there": there}

    def opens_on(self, study: Study) -> tuple[str, Simplification]:
        """The split and setting with the largest gap that is clearly one, of those that match the model in distribution.

        One of a single layer if there is any: other figures have such.
        """
        rows = [(split, row) for split, of in self.rows[study.name].items() for row in of]
        clear = [
            (split, row)
            for split, row in rows
            if not PROXIES[row.setting.proxy].control
            and row.plain.reference.value >= RULES.levels.chosen
            and tell(row.plain.gap, above="clear", below="", unclear="", missing="")
        ]
        split, row = max(clear, key=lambda of: (of[1].setting.layer >= 0, of[1].plain.gap.value), default=rows[0])
        return split, row.setting

    # The first frame, for print and for pages without scripts

    def still(self) -> str:
        """A picture of the study that is opened on, as HTML, and its row that the figure opens on as a sentence."""
        study = self.studies[0]
        split, s = self.opens_on(study)
        row = next(row for row in self.rows[study.name][split] if row.setting == s)
        return f"{self.picture(study).to_html()}<p>{escape(prose.paragraph(*row.sentences()))}</p>"

    def picture(self, study: Study) -> figures.Picture:
        """Agreement elsewhere against agreement in distribution, a panel a split, a point a setting."""
        rows = [(study.task.look(split).label, row) for split, of in self.rows[study.name].items() for row in of]
        table = pd.DataFrame(
            [
                {"panel": panel, "series": PROXIES[row.setting.proxy].label, "x": row.plain.reference.value, "y": there.value}
                for panel, row in rows
                if (there := row.plain.target).measured
            ],
            columns=["panel", "series", "x", "y"],
        )
        looks = {proxy.label: Look(proxy.label, proxy.colour, proxy.marker) for proxy in PROXIES.values()}
        return figures.scatter(
            table,
            x="agreement in distribution",
            y="agreement elsewhere",
            alt=" ".join(self.summary(study, split) for split in self.rows[study.name]),
            note=f"study {study.name}: {figures.measured_on(study)}; dotted: no gap; no intervals",
            looks={label: look for label, look in looks.items() if (table["series"] == label).any()},
            columns=2,
            diagonal=True,
        )

    def summary(self, study: Study, split: str) -> str:
        """How many settings agree less often on a split than in distribution; controls are left out."""
        rows = [row for row in self.rows[study.name][split] if not PROXIES[row.setting.proxy].control]
        sides = [_sign(row.plain.gap) for row in rows if row.plain.gap.measured]
        counts = {"total": len(sides), "above": sides.count(1), "below": sides.count(-1), "unclear": sides.count(0)}
        said = f"{SAYS['any']} {SAYS['measured']}"
        return said.format(split=study.task.look(split).label, reference="in distribution", **counts)


class _Phrases:
    """Sentences without their numbers, each once."""

    def __init__(self):
        self.known: dict[str, int] = {}

    def short(self, sentence: str) -> list:
        """Which of them a sentence is, and the numbers that stand where it has `{}`."""
        at = self.known.setdefault(NUMBER.sub("{}", sentence), len(self.known))
        return [at, " ".join(NUMBER.findall(sentence))]


def _setting(s: Simplification, study: Study) -> dict[str, Any]:
    inside = study.estimates.estimate(s, study.task.reference, "same_prediction")
    parts = {part: getattr(s, part) for part in ("proxy", "complexity", "layer", "label", "place")}
    return {**parts, "key": key(s), "inside": [*_numbers(inside), percent(inside, interval=True)]}


def _plain(row: Row, phrases: _Phrases) -> dict[str, Any]:
    """A row as values that JSON has: agreement there and as foreseen, each with its interval, and in words.

    A side is the gap's sign and the gap in words, then, where these are others, agreement on the reference and there.
    """
    there, sides = row.plain.target, []
    for at, of in enumerate(row.sides.values()):
        both = [_numbers(of.reference), _numbers(of.target)] if at else []
        sides.append([_sign(of.gap), points(of.gap), *both])
    return {
        "there": [*_numbers(there), percent(there, interval=True)],
        "sides": sides,
        "foreseen": [*_numbers(row.foreseen), percent(row.foreseen, interval=True), _sign(row.off)],
        "says": [phrases.short(sentence) for sentence in row.sentences()],
    }


def _numbers(estimate: Estimate) -> list[float | None]:
    """A value and its interval."""
    return [None if value != value else round(value, 4) for value in (estimate.value, *estimate.interval)]


def _sign(estimate: Estimate) -> int | None:
    """1 where it clearly is above zero, -1 where it is below, 0 where that cannot be told, None where nothing was measured."""
    return tell(estimate, above=1, below=-1, unclear=0, missing=None)


def _look(proxy: type[Proxy]) -> dict[str, Any]:
    """How a family looks, on light and dark pages; its marker as a path within -1 to 1."""
    marker = MarkerStyle(proxy.marker or "o")
    outline = marker.get_path().transformed(marker.get_transform()).to_polygons(closed_only=False)
    path = "".join("M" + "L".join(f"{2 * x:.2f} {-2 * y:.2f}" for x, y in of) + "Z" for of in outline)
    return {
        "label": proxy.label,
        "control": proxy.control,
        "mark": on_both(proxy.colour),
        "ink": on_both(proxy.colour, TEXT),
        "path": path,
    }
