"""The rules stand in one file, which is checked as it is read; an effect gets its verdict from them alone."""

from __future__ import annotations

import numpy as np
import pytest
from planted import estimate

from lib import rules
from lib.errors import InputError
from lib.measuring.diagnostics import DIAGNOSTICS
from lib.measuring.intervals import Estimate, nothing
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED, VERDICTS
from lib.tasks import task_class

FILE = rules.Path(rules.__file__).with_suffix(".toml")
LEAST, NEAR = RULES.margins.gap, RULES.margins.equal


# The file


def test_the_rules_that_are_used_are_those_of_the_file():
    assert rules.read(FILE) == RULES
    assert RULES.foreseeing.diagnostic in DIAGNOSTICS
    assert RULES.levels.chosen in RULES.levels.sensitivity
    assert not {*RULES.seeds.choose} & {*RULES.seeds.report}, "no seed reports on what was chosen on it"
    assert len(RULES.seeds.report) >= RULES.seeds.fewest


def test_every_claim_is_about_a_task_that_there_is():
    for claim in RULES.claims:
        assert task_class(claim.task).kind == claim.task
        assert RULES.claim(claim.number) is claim
        assert not claim.text.endswith(".")
        assert len({RULES.word(claim, verdict) for verdict in VERDICTS}) == len(VERDICTS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(("chosen = 0.9", "chosen = 1.5"), ["levels.chosen is 1.5", "less than 1"], id="too large"),
        pytest.param(("chosen = 0.9", 'chosen = "much"'), ["levels.chosen is 'much'", "number"], id="a word"),
        pytest.param(("[0.8, 0.9", "[0.0, 0.9"), ["levels.sensitivity.0 is 0.0", "greater than 0"], id="a level of nothing"),
        pytest.param(("gap = 0.01", "gaps = 0.01"), ["margins.gap"], id="misspelt"),
        pytest.param(("gap = 0.01", "gap = 0.01\nmore = 1"), ["margins.more is no key", "gap, equal"], id="unknown"),
        pytest.param(("equal = 0.02", "equal = true"), ["margins.equal is True"], id="no number"),
        pytest.param(("fewest = 3", "fewest = 1"), ["seeds.fewest is 1", "2"], id="one seed decides"),
        pytest.param(("report = [5,", "report = [-5,"), ["seeds.report.0 is -5"], id="no such seed"),
        pytest.param(("choose = [0, 1, 2, 3, 4]", "choose = []"), ["seeds.choose"], id="chosen on nothing"),
        pytest.param(('"regression"', '"hope"'), ["foreseeing.diagnostic is 'hope'", "mix"], id="no such diagnostic"),
        pytest.param(
            ('proxies = "no data"', 'proxies = "none"'), ["claims.3.proxies is 'none'", "no data"], id="no such proxies"
        ),
        pytest.param(('splits = ["unseen_depth"]', "splits = []"), ["claims.1.splits"], id="nowhere"),
        pytest.param(("premise = 0.75", "premise = 75"), ["claims.1.premise is 75", "less than 1"], id="a premise in per cent"),
        pytest.param(("number = 2", "number = 1"), ["two claims have the number 1"], id="a number twice"),
        pytest.param(("[margins]", "[margins"), ["is not TOML"], id="not TOML"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_file_and_key(tmp_path, change, says):
    path, text = tmp_path / "mine.toml", FILE.read_text(encoding="utf-8")
    assert change[0] in text
    path.write_text(text.replace(*change, 1), encoding="utf-8")
    with pytest.raises(InputError) as error:
        rules.read(path)
    assert str(path) in str(error.value)
    for part in says:
        assert part in str(error.value)


def test_rules_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        rules.read(tmp_path / "mine.toml")


# Halves


@pytest.mark.parametrize("seeds", [1, 3, 5, 9])
def test_fewer_seeds_than_both_halves_need_do_both(seeds):
    assert RULES.halves(seeds) == [(list(range(seeds)), list(range(seeds)))]


@pytest.mark.parametrize("seeds", [10, 12])
def test_with_all_of_them_verdicts_rest_on_seeds_that_nothing_was_chosen_on(seeds):
    choose, report = [0, 1, 2, 3, 4], [5, 6, 7, 8, 9]
    assert RULES.halves(seeds) == [(choose, report), (choose, choose)]


# Verdicts


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        pytest.param(estimate(0.05, 0.15), GAP, id="above zero"),
        pytest.param(estimate(-0.15, -0.05), OPPOSITE, id="below zero"),
        pytest.param(estimate(-0.05, 0.15), UNDECIDED, id="around zero, and wide"),
        pytest.param(estimate(-0.01, 0.015), EQUAL, id="around zero, and near"),
        pytest.param(estimate(0, 0), EQUAL, id="zero"),
        pytest.param(estimate(-0.0001, 0.1), UNDECIDED, id="hardly below zero"),
        pytest.param(estimate(0.001, 0.004), EQUAL, id="above zero, and too little to count"),
        pytest.param(estimate(-0.004, -0.001), EQUAL, id="below zero, and too little to count"),
        pytest.param(estimate(0.011, 0.019), GAP, id="near zero, and counts all the same"),
        pytest.param(estimate(-0.019, -0.011), OPPOSITE, id="the same below"),
        pytest.param(estimate(0.001, 0.0188), EQUAL, id="just too little"),
        pytest.param(estimate(-0.001, 0.03), UNDECIDED, id="not apart from zero, and not near enough"),
        pytest.param(estimate(0.05, 0.15, seeds=2), UNDECIDED, id="two seeds"),
        pytest.param(estimate(-0.001, 0.001, seeds=2), UNDECIDED, id="two seeds, near zero"),
        pytest.param(estimate(0.05, 0.15, seeds=1), UNDECIDED, id="one seed"),
        pytest.param(Estimate(np.array([0.1, np.nan, np.nan])), UNDECIDED, id="one seed of three, without an interval"),
        pytest.param(Estimate(np.array([0.1, 0.1, np.nan])), UNDECIDED, id="two seeds of three"),
        pytest.param(nothing(), NOT_APPLICABLE, id="nothing scored"),
        pytest.param(None, NOT_APPLICABLE, id="not measured"),
    ],
)
def test_a_verdict_follows_from_where_the_interval_lies(effect, verdict):
    assert RULES.verdict(effect) == verdict


@pytest.mark.parametrize("sign", [1, -1])
def test_at_the_margins_themselves(sign):
    """An effect of the size of the margin counts; an interval that reaches the other margin is not near zero any more."""
    exact = Estimate(np.full(3, sign * LEAST))
    assert RULES.verdict(exact) == (GAP if sign > 0 else OPPOSITE)
    assert RULES.verdict(Estimate(np.full(3, sign * np.nextafter(LEAST, 0)))) == EQUAL
    limits = (0.0, NEAR) if sign > 0 else (-NEAR, 0.0)  # which cut the interval there
    wide = Estimate(np.array([-0.01, 0, 0.01]) + sign * 0.005, limits=limits)
    assert NEAR in np.abs(wide.interval)
    assert RULES.verdict(wide) == UNDECIDED


def test_words_of_a_claim():
    better, usual = RULES.claim(3), RULES.claim(1)
    within = f"within {100 * NEAR:g} points"
    assert [RULES.word(better, verdict) for verdict in VERDICTS] == ["better", "worse", within, UNDECIDED, NOT_APPLICABLE]
    assert [RULES.word(usual, verdict) for verdict in VERDICTS] == ["gap", "closer", within, UNDECIDED, NOT_APPLICABLE]


@pytest.mark.parametrize(
    ("margin", "says"), [(0.01, "within 1 point"), (0.02, "within 2 points"), (0.025, "within 2.5 points")]
)
def test_what_is_no_effect_is_called_by_the_margin(margin, says):
    other = RULES.model_copy(update={"margins": RULES.margins.model_copy(update={"equal": margin})})
    assert other.word(other.claims[0], EQUAL) == says


@pytest.mark.parametrize(
    ("effect", "verdict", "word"),
    [
        pytest.param(estimate(0.011, 0.019), GAP, "gap, small", id="counts, and is within the margin"),
        pytest.param(estimate(0.011, 0.021), GAP, "gap", id="counts, and may be more"),
        pytest.param(estimate(-0.019, -0.011), OPPOSITE, "closer, small", id="the same below"),
        pytest.param(estimate(-0.021, -0.011), OPPOSITE, "closer", id="and more"),
        pytest.param(estimate(-0.001, 0.001), EQUAL, "within 2 points", id="no effect is not a small one"),
        pytest.param(estimate(0.011, 0.019, seeds=2), UNDECIDED, UNDECIDED, id="two seeds"),
    ],
)
def test_an_effect_that_counts_and_is_near_zero_is_called_small(effect, verdict, word):
    assert RULES.verdict(effect) == verdict
    assert RULES.word(RULES.claim(1), verdict, effect) == word


def test_a_verdict_at_another_confidence():
    assert RULES.verdict(estimate(0.05, 0.15), 0.99) == UNDECIDED
    assert RULES.verdict(estimate(0.09, 0.11), 0.99) == GAP
    assert RULES.verdict(estimate(-0.015, 0.015), 0.99) == UNDECIDED
    assert RULES.verdict(estimate(-0.05, 0.06), 0.5) == EQUAL
