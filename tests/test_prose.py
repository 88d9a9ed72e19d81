"""Sentences: each is fed every outcome, and reads well whatever that is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest
from planted import estimate
from readable import flaw

from lib import prose
from lib.measuring.intervals import Estimate, nothing
from lib.tasks.code import prose as code
from lib.tasks.dyck import prose as dyck

ABOVE, BELOW, AROUND = estimate(0.05, 0.25), estimate(-0.3, -0.1), estimate(-0.3, 0.1)
OUTCOMES = {
    "above": ABOVE,
    "below": BELOW,
    "around zero": AROUND,
    "zero": estimate(0, 0),
    "rounds to zero": estimate(-1e-6, -1e-7),
    "not measured": nothing(),
    "one seed": estimate(0.05, 0.25, seeds=1),
    "hardly anything drawn": Estimate(0.2, np.where(np.arange(1_001) % 2, 0.2, np.nan), 2, 3),
}
SHARES = {"most": estimate(0.9, 0.96), "all": estimate(1, 1), "none": estimate(0, 0), "not measured": nothing()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is nan.",
        "Two  blanks.",
        "It is -3.",
        "It is −0.0.",
        "all of it.",
        "No stop",
        "Not measured points not measured of it.",
        "(a.",
    ],
)
def test_what_reads_badly_is_found(text):
    assert flaw(text)


@pytest.mark.parametrize("text", ["It is −3.0 [−4.0, 0.0] points (6-gram model, with −0.04).", "(All of it.)"])
def test_what_reads_well_is_not(text):
    assert flaw(text) is None


def every(*outcomes: dict[str, Estimate]) -> Iterator[tuple[Estimate, ...]]:
    """Every combination of outcomes."""
    return product(*(of.values() for of in outcomes))


# Numbers


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (0.954, 0.941, 0.962, "95.4 % [94.1, 96.2]"),
        (-0.031, -0.052, 0.011, "−3.1 % [−5.2, 1.1]"),
        (-0.0004, -0.0004, 0.0004, "0.0 % [0.0, 0.0]"),
        (np.nan, np.nan, np.nan, "not measured"),
        (0.5, np.nan, np.nan, "50.0 %"),
    ],
)
def test_a_share_is_shown_in_per_cent_with_its_interval(value, low, high, shown):
    of = Estimate(value, np.array([low, low, high, high]), 3, 10)
    assert prose.percent(of, interval=True) == shown
    assert prose.percent(of) == shown.split(" [")[0]


@pytest.mark.parametrize(
    ("of", "plain", "signed", "short"),
    [
        (ABOVE, "15.0 [5.5, 24.5]", "+15.0 [+5.5, +24.5]", "15.0"),
        (BELOW, "−20.0 [−29.5, −10.5]", "−20.0 [−29.5, −10.5]", "−20.0"),
        (estimate(-0.0004, 0.0003), "0.0 [0.0, 0.0]", "0.0 [0.0, 0.0]", "0.0"),
        (nothing(), "not measured", "not measured", "not measured"),
    ],
)
def test_a_difference_is_shown_in_points(of, plain, signed, short):
    assert prose.points(of) == plain
    assert prose.points(of, sign=True) == signed
    assert prose.points(of, interval=False) == short


def test_digits_are_as_many_as_asked_for():
    of = estimate(-0.5, -0.1)
    assert prose.percent(of, 0, interval=True) == "−30 % [−49, −11]"
    assert prose.number(of) == "−0.30 [−0.49, −0.11]"
    assert prose.number(of, ".3f") == "−0.300 [−0.490, −0.110]"


def test_within_a_sentence_what_is_unknown_is_called_so():
    assert [prose.in_percent(ABOVE), prose.in_percent(ABOVE, True)] == ["15.0 %", "15.0 % [5.5, 24.5]"]
    assert prose.in_points(BELOW, "percentage points") == "−20.0 [−29.5, −10.5] percentage points"
    assert prose.in_points(ABOVE, sign=True) == "+15.0 [+5.5, +24.5] points"
    assert [prose.in_percent(nothing()), prose.in_points(nothing())] == ["an unknown share", "an unknown number of points"]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("above", "more"), ("below", "less"), ("around zero", "as often"), ("zero", "as often"), ("not measured", "unknown"),
        ("one seed", "more"), ("rounds to zero", "less"),
    ],
)  # fmt: skip
def test_the_word_is_that_of_where_the_interval_lies(name, word):
    assert prose.tell(OUTCOMES[name], above="more", below="less", unclear="as often", missing="unknown") == word


def test_what_was_not_measured_is_said_to_be_so_where_no_other_word_is_given():
    assert prose.tell(nothing(), above="more", below="less", unclear="as often") == "not measured"


def test_lists_read_like_english():
    assert [prose.names("abc"[:n]) for n in range(4)] == ["none", "a", "a and b", "a, b and c"]
    assert prose.names(str(n) for n in range(2)) == "0 and 1"
    assert [prose.seeds(1), prose.seeds(2)] == ["1 seed", "2 seeds"]


def test_a_label_that_begins_a_sentence_has_a_capital():
    assert [prose.begin(label) for label in ("one-hot", "SVD of rank 2", "k-means", "")] == [
        "One-hot",
        "SVD of rank 2",
        "K-means",
        "",
    ]


def test_a_paragraph_leaves_out_what_is_empty_and_joins_lines():
    assert prose.paragraph("One.", "", "Two\n  lines.") == "One. Two lines."


def test_a_table_has_a_row_for_each_key_and_nothing_for_what_is_missing():
    table = prose.table({"a": {"x": "1"}, "b": {"x": "2", "y": "3"}}, "letters")
    assert table.to_dict("index") == {"a": {"x": "1", "y": ""}, "b": {"x": "2", "y": "3"}}
    assert table.index.name == "letters"


# Dyck


def test_how_well_a_dyck_model_learned():
    for of in every(SHARES, SHARES, SHARES, SHARES):
        said = dyck.learned(*of)
        assert flaw(said) is None, said
        assert re.findall(r"[\d.]+ % \[.*?]|an unknown share", said) == [prose.in_percent(e, True) for e in of]


@pytest.mark.parametrize("finer", [0, 1, 2])
def test_a_gap(finer):
    for of in every(SHARES, SHARES, OUTCOMES, OUTCOMES):
        inside, outside, gap, other = of
        said = dyck.gap_sentence(
            "SVD of rank 2 in layer 1", inside, outside, gap, dict(zip("ab"[:finer], (other, gap), strict=False))
        )
        assert flaw(said) is None, said
        assert ("At higher ranks" in said) == bool(finer)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("above", "That is a gap of 15.0 [5.5, 24.5] percentage points."),
        ("below", "So it agrees with the model more often there, by 20.0 [10.5, 29.5] percentage points."),
        ("around zero", "The gap, −10.0 [−29.0, 9.0] percentage points, cannot be told from none."),
        ("zero", "The gap, 0.0 [0.0, 0.0] percentage points, cannot be told from none."),
        ("not measured", "So there is no gap to tell of."),
    ],
)
def test_a_gap_is_one_only_above_zero(outcome, says):
    assert dyck.gap_sentence("It", SHARES["most"], SHARES["most"], OUTCOMES[outcome], {}).endswith(says)


def test_whether_one_hot_attention_is_better():
    for of in every(SHARES, OUTCOMES):
        said = dyck.better_sentence(*of)
        assert flaw(said) is None, said
        words = {"better than the model itself": of[1].interval[0] > 0, "worse than the model": of[1].interval[1] < 0}
        assert {word: word in said.replace("nor clearly worse than the model", "") for word in words} == words


def test_attention_on_the_right_bracket():
    for of in every(SHARES, SHARES, SHARES, SHARES):
        said = dyck.attention_sentence("SVD of rank 2", of[:2], of[2:])
        assert flaw(said) is None, said
        assert re.findall(r"\d+\.\d %|an unknown share", said) == [prose.in_percent(e) for e in of]


def test_svd_against_clustering():
    for of in every({**SHARES, **OUTCOMES}, {**SHARES, **OUTCOMES}):
        svd, kmeans = of
        said = dyck.comparison_sentence(0.7, svd, kmeans)
        assert flaw(said) is None, said
        assert said.startswith("At 70 % agreement in distribution")
        if not (svd.measured and kmeans.measured):
            missing = {"SVD": svd, "k-means": kmeans}
            who = " and ".join(name for name, e in missing.items() if not e.measured)
            assert said.endswith(
                f"the two cannot be compared: {who} did not reach it in at least 95 % of the bootstrap resamples."
            )
            continue
        low, high = (svd - kmeans).interval
        word = "SVD keeps more than" if low > 0 else "SVD keeps less than" if high < 0 else "cannot be told apart"
        assert word in said


@pytest.mark.parametrize("shares", [(0.1234, 1.5), (0.0, np.nan)])
def test_what_is_dropped(shares):
    for of in every(OUTCOMES, OUTCOMES):
        said = dyck.dropped_sentence("k-means with 4 clusters", shares, of)
        assert flaw(said) is None, said
        assert ("12.3 % of the variance in distribution and 150.0 % at" in said) == (shares[0] > 0)


def test_a_gap_with_controls():
    for of in every(OUTCOMES, OUTCOMES, OUTCOMES):
        said = dyck.controls_sentence("SVD of rank 2", dict(zip(("gap", "length matched", "depth matched"), of, strict=True)))
        assert flaw(said) is None, said
        assert said.endswith(f"; it is {prose.points(of[1])} with length matched and {prose.points(of[2])} with depth matched.")


# Code


def test_how_well_a_code_model_learned():
    for of in every(SHARES, OUTCOMES, SHARES, OUTCOMES):
        said = code.learned("C and Java", *of)
        assert flaw(said) is None, said
        share, by = prose.in_percent(of[2], True), prose.in_points(of[3], sign=True)
        first, against = prose.in_percent(of[0], True), prose.in_points(of[1], "percentage points", sign=True)
        assert f"the model predicts {first} of characters, {against} against the n-gram model;" in said
        assert f"(C and Java) {share} on average, {by} against" in said
        low, high = of[1].interval
        words = {
            "more often than local statistics": low > 0,
            "less often than the n-gram model": high < 0,
            "about as often": low <= 0 <= high,
        }
        assert {word: word in said for word in words} == words


def test_how_faithful_a_proxy_is():
    for of in every(SHARES, OUTCOMES):
        said = code.faithful_sentence("one-hot", *of)
        assert flaw(said) is None, said
        low, high = of[1].interval
        assert ("points less in other" in said, "points more in other" in said) == (low > 0, high < 0)
        assert "−20.0" not in said, "twenty more, not minus twenty more"


def test_language_and_domain():
    for of in every(OUTCOMES, OUTCOMES):
        said = code.domain_sentence("SVD of rank 2", "Python", *of, 140)
        assert flaw(said) is None, said
        assert f"loses {prose.in_points(of[0])} of agreement" in said
        assert f"it loses {prose.in_points(of[1])}." in said


def test_words():
    for of in every(OUTCOMES, OUTCOMES):
        repeated, new = of
        said = code.words_sentence("SVD of rank 2", repeated, new, difference := repeated - new)
        assert flaw(said) is None, said
        low, high = difference.interval
        assert ("larger on repeated" in said, "smaller on repeated" in said) == (low > 0, high < 0)
        assert ("not comparable" in said) == (not difference.measured)


@pytest.mark.parametrize("count", [1, 2])
def test_gaps_where_the_model_is_equally_certain(count):
    for of in every(OUTCOMES, OUTCOMES):
        gaps = dict(zip(("SVD of rank 2", "one-hot"), of[:count], strict=False))
        said = code.margins_sentence(gaps)
        assert flaw(said) is None, said
        assert all(f"{prose.points(gap)} with {label}" in said for label, gap in gaps.items())


@pytest.mark.parametrize("module", [dyck, code])
def test_every_sentence_is_tested_here(module):
    tested: list[Callable] = [
        dyck.learned, dyck.gap_sentence, dyck.better_sentence, dyck.attention_sentence, dyck.comparison_sentence,
        dyck.dropped_sentence, dyck.controls_sentence, code.learned, code.faithful_sentence, code.domain_sentence,
        code.words_sentence, code.margins_sentence,
    ]  # fmt: skip
    defined = [of for of in vars(module).values() if callable(of) and getattr(of, "__module__", "") == module.__name__]
    assert defined
    assert set(defined) <= set(tested)
