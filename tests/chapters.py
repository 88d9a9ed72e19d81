"""What tests of chapters share: a proxy of one's own, means computed plainly, and reading figures back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from planted import scrambled

from lib.errors import InputError
from lib.figures import Picture
from lib.live.kept import arrays_of
from lib.proxies import PROXIES, Proxy, Simplification
from lib.studies import Experiment, Study


class Rounded(Proxy, name="rounded", label="rounded off", parameter="steps"):
    """Queries and keys are rounded to so many steps."""

    def __init__(self, steps):
        self.steps = steps

    @classmethod
    def fit(cls, head, complexity):
        if complexity > 100:
            raise InputError("so many steps are no <simplification>")
        return cls(complexity)

    def simplify(self, queries, keys):
        return tuple((vectors * self.steps / 16).round() / self.steps * 16 for vectors in (queries, keys))


del PROXIES["rounded"]


@contextmanager
def new_proxy() -> Iterator[type[Proxy]]:
    """A proxy of one's own, `rounded`, for as long as the context lasts."""
    PROXIES["rounded"] = Rounded
    try:
        yield Rounded
    finally:
        del PROXIES["rounded"]


def dyck_study(small_experiment: Experiment, tiny_artifacts: Path, folder: Path) -> Study:
    """The models of the preset `tiny` with more measured on them, the new proxy among it; then all is scrambled.

    So every share differs from all others, and what is shown gives away where it comes from.
    """
    folder = folder / "tiny" / "dyck"
    shutil.copytree(tiny_artifacts / "tiny" / "dyck", folder)
    whole = {"svd": (1, 2, 4), "kmeans": (4, 8), "one_hot": (), "random_subspace": (2,), "svd_joint": (2, 4)}
    measuring = small_experiment.measuring.model_copy(
        update={
            "grid": {"0": {"svd": (2,), "one_hot": ()}, "1": whole, "all": {"svd": (2,)}},
            "along_training": {"1": {"svd": (2,), "one_hot": ()}},
            "refitted": {"1": {"svd": (2,), "kmeans": (8,)}},
        }
    )
    families = ({1: 0.4, 2: 0.75, 4: 0.9}, {4: 0.6, 8: 0.85})
    fixed = {
        (Simplification(proxy, complexity, 1), "iid"): share
        for proxy, family in zip(("svd", "kmeans"), families, strict=True)
        for complexity, share in family.items()
    }
    experiment = small_experiment.model_copy(update={"measuring": measuring}).with_proxies(["rounded"])
    study = Study("dyck", experiment, folder, preset="tiny")
    study.estimates = study.estimates_of({run.seed: scrambled(run.blocks(), run.seed, fixed) for run in study.runs})
    blocks = {run.seed: scrambled(run.blocks_along_training(), run.seed) for run in study.runs}
    steps = sorted({block.step for block in blocks[0]})
    study.along_training = {
        step: study.estimates_of({seed: [b for b in of if b.step == step] for seed, of in blocks.items()}) for step in steps
    }
    for run in study.runs:  # as when a study is measured
        arrays_of(run)
    return study


@cache
def picture_of(chapter: object, name: str) -> Picture:
    """A picture of a chapter, made once for all tests, which only look at it."""
    return getattr(chapter, name)()


def figure_of(chapter: object, name: str) -> Figure:
    """The figure of a picture of a chapter."""
    return picture_of(chapter, name).figure


def mean(
    study: Study,
    s: Simplification,
    split: str,
    measure: str = "same_prediction",
    where: Callable[[Mapping[str, np.ndarray]], np.ndarray | bool] = lambda columns: True,
) -> float:
    """A mean over seeds, from the blocks of each."""
    means = []
    for run in study.runs:
        (block,) = [block for block in study.estimates.blocks(run.seed) if block.split == split]
        chosen = np.full(len(block.columns["n"]), True) & where(block.columns)
        means.append(block.sums[s, measure][chosen].sum(dtype=float) / block.columns["n"][chosen].sum())
    return float(np.mean(means))


def percent(value: float) -> str:
    """A number as it is shown, without its sign for more."""
    return f"{100 * value:.1f}".replace("-0.0", "0.0").replace("-", "−")


def shown_in(picture: Picture) -> str:
    """Every text of a picture that is seen, on one line."""
    texts = [
        *(text.get_text() for text in picture.figure.findobj(plt.Text)),
        *(look.label for look in picture.key),
        picture.note,
    ]
    return "; ".join(" ".join(text.split()) for text in texts)


def title_of(ax: plt.Axes) -> str:
    """The title of a panel on one line, wherever it stands and however it is wrapped."""
    return " ".join((ax.get_title("left") or ax.get_title()).split())


def titles(figure: Figure) -> list[str]:
    """The titles of all panels that have one, each on one line."""
    return [title for title in map(title_of, figure.axes) if title]


def panel(figure: Figure, title: str) -> plt.Axes:
    """The panel of a title; where lines of that break does not matter."""
    (ax,) = [ax for ax in figure.axes if title_of(ax) == " ".join(title.split())]
    return ax


def of_split(figure: Figure, study: Study, split: str, below: str = "") -> plt.Axes:
    """The panel of a split, which is called there as readers call it; with what else its title says below."""
    called = study.task.look(split).label
    return panel(figure, f"{called}:\n{below}" if below else called)


def line(ax: plt.Axes, colour: str) -> dict[float, float]:
    """Values by x of the line of a colour that has most points."""
    of = max((line for line in ax.lines if to_hex(line.get_color()) == to_hex(colour)), key=lambda line: len(line.get_xdata()))
    return dict(zip(*of.get_data(), strict=True))


def marks(ax: plt.Axes, colour: str | None = None) -> list[float]:
    """Across, the single marks of a panel (of a colour) in the order in which they were drawn."""
    single = [line for line in ax.lines if len(line.get_xdata()) == 1]
    return [float(line.get_xdata()[0]) for line in single if colour is None or to_hex(line.get_color()) == to_hex(colour)]
