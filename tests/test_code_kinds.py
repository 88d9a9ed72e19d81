"""The chapter on code: kinds of characters, words at equal agreement, and what was foreseen, on planted numbers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from chapters import marks
from planted import study
from readable import flaw, seen

from lib import prose
from lib.experiment import Experiment, MeasuringConfig
from lib.measuring.diagnostics import DIAGNOSTICS
from lib.measuring.intervals import Estimate, mean_of
from lib.models.trainer import TrainingConfig
from lib.models.transformer import ModelConfig
from lib.proxies import MODEL, PROXIES, Simplification
from lib.rules import RULES
from lib.studies import Study
from lib.tasks.code.by_kind import ByKind
from lib.tasks.code.languages import CLASSES, KEYWORD, NEW, NUMBER, REPEATED, TEXT
from lib.tasks.code.task import CodeTask

SVD, RANK_4, KMEANS, HARD = (Simplification(*of) for of in (("svd", 2), ("svd", 4), ("kmeans", 8), ("one_hot",)))
RANDOM = [Simplification("random_subspace", rank) for rank in (2, 4)]
EVERY = (SVD, RANK_4, KMEANS, HARD, *RANDOM)
SPLITS, UNSEEN = ("id", "seen_package", "c", "java"), ["c", "java"]
USUAL = 0.95  # where nothing else is planted, all agree with the model so often

Planted = Mapping[tuple[Simplification, str], float | Mapping[str, float]]


class Kinds(ByKind):
    """The part of the chapter, without a corpus."""

    def __init__(self, study: Study):
        self.study, self.estimates, self.unseen = study, study.estimates, UNSEEN
        self.chosen = {"svd": SVD, "kmeans": KMEANS, "one_hot": HARD, "random_subspace": RANDOM[0]}
        self.languages, self.note = "C and Java", "made up"

    def gap(self, s: Simplification) -> Estimate:
        return mean_of([self.estimates.gap(s, split, "id") for split in self.unseen])


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    grid = {"svd": (2, 4), "kmeans": (8,), "one_hot": (), "random_subspace": (2, 4)}
    return Experiment(
        task=CodeTask(corpus="directory", location="nowhere"),
        model=ModelConfig(layers=1, heads=2, width=16, mlp_width=16),
        training=TrainingConfig(steps=1),
        measuring=MeasuringConfig(grid={"all": grid}),
        seeds=3,
    )


@pytest.fixture(scope="module")
def planted(experiment) -> Callable[..., Kinds]:
    """A function that makes the chapter's part with planted agreement by kind of character; the margin is the same number."""

    def make(agreement: Planted | None = None, outside: float | None = 0.25, **options) -> Kinds:
        of = agreement or {}
        rates = {split: {(s, "same_prediction"): of.get((s, split), USUAL) for s in EVERY} for split in SPLITS}
        for of_split in rates.values():
            of_split |= {(s, "accuracy"): 0.5 for s in (MODEL, *EVERY)}
            of_split |= {(s, "outside"): outside for s in EVERY if outside is not None}
        alike = dict.fromkeys(range(options.get("seeds", 3)), 0.0)
        options = {"by": ("character", "margin"), "shifts": alike, **options}
        return Kinds(study(experiment, rates, CLASSES, **options))

    return make


def by_kind(rates: Mapping[int, float], otherwise: float = USUAL) -> dict[str, float]:
    return {**{CLASSES[kind]: rate for kind, rate in rates.items()}, "": otherwise}


# Kinds of characters


def test_the_gap_is_shown_by_kind_where_there_is_enough_of_it(planted, monkeypatch):
    monkeypatch.setattr("lib.tasks.code.by_kind.FEWEST", 200)
    rates = {
        (SVD, "id"): by_kind({NUMBER: 0.9, KEYWORD: 0.8}),
        (SVD, "c"): by_kind({NUMBER: 0.7, KEYWORD: 0.8}),
        (SVD, "java"): by_kind({NUMBER: 0.6, KEYWORD: 0.9}),
    }
    rare = {"c": {**by_kind({}, 4), CLASSES[TEXT]: 1}}  # 120 of it, with the sequences of all seeds
    picture = planted(rates, n=rare).classes()
    (ax,) = picture.figure.axes
    rows = [label.get_text() for label in ax.get_yticklabels()]
    assert rows == [kind for kind in CLASSES if kind != CLASSES[TEXT]]
    shown = dict(zip(rows, marks(ax, PROXIES["svd"].colour), strict=True))
    expected = dict.fromkeys(rows, 0) | {CLASSES[NUMBER]: 25, CLASSES[KEYWORD]: -5}
    assert shown == pytest.approx(expected, abs=1e-4)
    assert not marks(ax, PROXIES["one_hot"].colour), "it is fitted on nothing"
    assert "kinds with fewer than 200 predictions left out" in picture.note


def test_controls_weight_kinds_as_the_other_language_has_them(planted):
    """Agreement depends on the kind alone; C has more numbers than `id`, Java as many."""
    rates = {(SVD, split): by_kind({NUMBER: 0.5}, 1.0) for split in SPLITS}
    chapter = planted(rates, n={"id": by_kind({NUMBER: 1}, 1), "c": by_kind({NUMBER: 9}, 1), "java": by_kind({NUMBER: 1}, 1)})
    gap = (0.5 * 9 / 18 - 0.5 / 10) / 2
    found = {name: of.value for name, of in chapter.controlled[SVD.phrase].items()}
    assert found == pytest.approx({"gap": gap, "same kinds of characters": 0, "same margins": 0}, abs=1e-6)
    table = chapter.controls().frame
    assert list(table.index) == [s.phrase for s in chapter.chosen.values()]
    assert table.loc[SVD.phrase, "gap"].startswith(f"{100 * gap:.1f} [")
    blocks = {
        seed: [replace(b, columns={**b.columns, "margin": 0 * b.columns["margin"]}) for b in chapter.estimates.blocks(seed)]
        for seed in chapter.estimates.seeds
    }
    chapter.study.estimates = chapter.study.estimates_of(blocks)
    found = {name: of.value for name, of in Kinds(chapter.study).controlled[SVD.phrase].items()}
    expected = {"gap": gap, "same kinds of characters": 0, "same margins": gap}
    assert found == pytest.approx(expected, abs=1e-6), "if all margins are the same, they account for nothing"
    apart = planted(n={"c": by_kind({NUMBER: 0, NEW: 0}, 0) | {CLASSES[0]: 4}, "id": by_kind({}, 4) | {CLASSES[0]: 0}})
    assert apart.controls().frame.loc[SVD.phrase].tolist()[1:] == ["not measured", "not measured"], "they share no kind"


# Words


@pytest.mark.parametrize(
    ("repeated", "new", "verdict"), [(0.6, 0.9, "larger on"), (0.9, 0.8, "smaller on"), (0.8, 0.8, "not clearly")]
)
def test_gaps_on_words_are_held_against_each_other(planted, repeated, new, verdict):
    rates = {(SVD, split): by_kind({REPEATED: repeated, NEW: new}) for split in UNSEEN}
    said = seen(planted(rates).words())
    assert flaw(said) is None
    gaps = [f"{100 * (USUAL - rate):.1f}" for rate in (repeated, new)]
    assert re.findall(r"is ([\d.]+) \[.*? of new words ([\d.]+) \[", said) == [tuple(gaps)]
    assert verdict in said


def at_equal(repeated: tuple[float, float], new: tuple[float, float]) -> Planted:
    """Two ranks that agree on `id` in 80 and 100 % of repeated, in 85 and 95 % of new words; elsewhere as given."""
    return {
        (SVD, "id"): by_kind({REPEATED: 0.8, NEW: 0.85}), (RANK_4, "id"): by_kind({REPEATED: 1.0, NEW: 0.95}),
        **{(s, x): by_kind({REPEATED: repeated[i], NEW: new[i]}) for i, s in enumerate((SVD, RANK_4)) for x in UNSEEN},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("repeated", "new", "says"),
    [
        ((0.6, 0.8), (0.8, 0.9), "the gap is larger on repeated words than on new ones with SVD (by 15.0 [15.0, 15.0] points)"),
        (
            (0.8, 0.9),
            (0.6, 0.8),
            "the gap is smaller on repeated words than on new ones with SVD (by 15.0 [15.0, 15.0] points)",
        ),
    ],
)
def test_words_are_compared_where_a_family_agrees_equally_often_on_either(planted, repeated, new, says):
    """With both kinds at 90 % on `id`, half-way between the two ranks."""
    assert RULES.levels.chosen == 0.9
    said = seen(planted(at_equal(repeated, new)).words_at_equal_effect())
    assert flaw(said) is None
    assert said == f"Where a family agrees with the model in 90 % of cases on either kind of word in its own language, {says}."


def test_without_settings_on_either_side_of_the_level_words_are_not_compared(planted):
    said = planted().words_at_equal_effect()
    assert said.endswith("gaps cannot be compared with SVD.")
    assert "k-means" not in said, "of which there is but one setting"


# What could have been foreseen


MIXED = {
    **{(s, split): by_kind({REPEATED: 0.5}, 0.9) for s in (SVD, HARD) for split in SPLITS},
    (HARD, "c"): by_kind({REPEATED: 0.6}, 0.9),
}
ONLY_WORDS = dict.fromkeys(CLASSES, 0)
COUNTS = {
    "id": ONLY_WORDS | {CLASSES[NEW]: 4, CLASSES[REPEATED]: 4},
    "c": ONLY_WORDS | {CLASSES[NEW]: 2, CLASSES[REPEATED]: 6},
    "java": ONLY_WORDS | {CLASSES[NEW]: 4, CLASSES[REPEATED]: 4},
}


def test_a_gap_from_the_mix_of_kinds_is_foreseen(planted):
    """In C three quarters of the characters are of the kind that is hard, on `id` and in Java half."""
    chapter = planted(MIXED, n=COUNTS)
    found = chapter.foreseen
    assert list(found) == [s.phrase for s in chapter.chosen.values()]
    gaps = {name: of.value for name, of in found[SVD.phrase].items()}
    assert list(gaps) == [*DIAGNOSTICS, "measured"]
    assert gaps["measured"] == pytest.approx(0.05), "0.1 in C and none in Java"
    assert gaps["mix"] == pytest.approx(0.05)
    assert gaps["margin"] == pytest.approx(0.05)
    assert gaps["unchanged"] == pytest.approx(0, abs=1e-6)
    assert found[HARD.phrase]["measured"].value == pytest.approx((0.7 - (0.25 * 0.9 + 0.75 * 0.6)) / 2)
    assert found[HARD.phrase]["mix"].value == pytest.approx(0.05), "nobody could know that it is better there"
    table = chapter.foreseen_table().frame
    assert list(table.columns) == [*DIAGNOSTICS, "measured"]
    assert table.loc[SVD.phrase, ["unchanged", "mix", "measured"]].str.split().str[0].tolist() == ["0.0", "5.0", "5.0"]


@pytest.mark.parametrize("name", [*DIAGNOSTICS])
def test_how_far_off_diagnostics_are_is_told(planted, monkeypatch, name):
    """The mean over proxies of errors, signs aside; and those for which the one of the rules is further off than no gap."""
    monkeypatch.setattr("lib.tasks.code.by_kind.RULES", with_diagnostic(name))
    chapter = planted(MIXED, n=COUNTS)
    off = {of: [abs(gaps[of].value - gaps["measured"].value) for gaps in chapter.foreseen.values()] for of in DIAGNOSTICS}
    said = seen(chapter.foreseen_text())
    assert flaw(said) is None
    told = {of: value for value, of in re.findall(r"([\d.]+) \[[^]]*\] points by `(\w+)`", said)}
    assert told == {of: f"{100 * np.mean(errors):.1f}" for of, errors in off.items() if of in ("unchanged", name)}
    assert f"mean over the {len(chapter.chosen)} pictures above" in said
    pairs = zip(chapter.foreseen, off[name], off["unchanged"], strict=True)
    lost = [phrase for phrase, error, none in pairs if error - none > 0.0005]
    further = f" For {prose.names(lost)}, the {name} errs more than expecting no gap." if lost else ""
    assert said.partition("that stands for its family.")[2] == further
    assert name != "unchanged" or not lost, "nothing is further off than itself"


def test_errors_have_no_signs(planted):
    """For one seed the gap is foreseen too low, for another too high: that does not cancel, and no error is less than none."""
    chapter = planted(MIXED, n=COUNTS)
    none = np.zeros(3)
    gaps = {name: Estimate(none, None, 100) for name in DIAGNOSTICS}
    vars(chapter)["foreseen"] = {"SVD": {**gaps, "measured": Estimate(np.array([0.1, -0.1, 0.04]), None, 100)}}
    shown = prose.points(Estimate(np.array([0.1, 0.1, 0.04]), None, 0, (0.0, 1.0)))
    assert shown.startswith("8.0 [0.0, ")
    assert f"with an error of {shown} points by `unchanged`" in seen(chapter.foreseen_text())


@pytest.mark.parametrize("worse", [0.0, 1e-7, 0.0004, 0.0006, 0.1])
def test_what_rounds_to_nothing_is_not_further_off(planted, worse):
    chapter = planted()
    gaps = {name: Estimate(np.full(3, worse * (name != "unchanged")), None, 100) for name in DIAGNOSTICS}
    vars(chapter)["foreseen"] = {"SVD": {**gaps, "measured": Estimate(np.zeros(3), None, 100)}}
    assert ("For SVD, the " in chapter.foreseen_text()) == (worse > 0.0005)


def test_a_diagnostic_that_is_wrong_is_further_off(planted, monkeypatch):
    monkeypatch.setattr("lib.tasks.code.by_kind.RULES", with_diagnostic("mix"))
    agreement = {(s, split): by_kind({REPEATED: 0.5 if split == "id" else 0.7}, 0.9) for s in EVERY for split in SPLITS}
    chapter = planted(agreement, n=COUNTS)
    names = prose.names(s.phrase for s in chapter.chosen.values())
    assert chapter.foreseen_text().endswith(f"For {names}, the mix errs more than expecting no gap.")


def with_diagnostic(name: str):
    return RULES.model_copy(update={"foreseeing": RULES.foreseeing.model_copy(update={"diagnostic": name})})


@pytest.mark.parametrize("why", ["too few", "not measured"])
def test_what_cannot_be_foreseen_is_left_out(planted, why):
    few = {split: ONLY_WORDS | {CLASSES[NEW]: 4} for split in SPLITS}  # 160 in a split
    chapter = planted(MIXED, n=few) if why == "too few" else planted(MIXED, outside=None, n=COUNTS)
    assert chapter.foreseen_text() == "Nothing could be foreseen: too few characters were predicted."
    table = chapter.foreseen_table().frame
    assert table.loc[SVD.phrase].tolist()[:-1] == ["not measured"] * len(DIAGNOSTICS)
    assert table.loc[SVD.phrase, "measured"] != "not measured"


@pytest.mark.parametrize("seeds", [1, 2])
def test_it_reads_well_with_few_seeds(planted, seeds):
    chapter = planted({**MIXED, **at_equal((0.6, 0.8), (0.8, 0.9))}, seeds=seeds)
    for said in (chapter.words(), chapter.words_at_equal_effect(), chapter.foreseen_text()):
        assert flaw(said) is None, said
    for table in (chapter.controls(), chapter.foreseen_table()):
        assert not table.frame.isin(["", "nan"]).any(axis=None)
