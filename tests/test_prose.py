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
from lib.measuring.matching import Decomposition
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED
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
    "two of three seeds": Estimate(np.array([0.149, 0.151, np.nan]), None, 3),
    "one of three seeds": Estimate(np.array([0.2, np.nan, np.nan]), None, 3),
    "hardly anything drawn": Estimate(np.array([0.2]), np.where(np.arange(1_001) % 2, 0.2, np.nan), 3),
}
FEW = {name: OUTCOMES[name] for name in ("above", "below", "around zero", "not measured", "one of three seeds")}
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
    ("of", "shown"),
    [
        (estimate(0.941, 0.967), "95.4 % [94.1, 96.7]"),
        (estimate(-0.052, -0.01), "−3.1 % [−5.2, −1.0]"),
        (estimate(-0.0004, 0.0004), "0.0 % [0.0, 0.0]"),
        (nothing(), "not measured"),
        (Estimate(np.array([0.5])), "50.0 %"),
        (Estimate(np.array([0.5, np.nan])), "50.0 %"),
    ],
)
def test_a_share_is_shown_in_per_cent_with_its_interval(of, shown):
    assert prose.percent(of, interval=True) == shown
    assert prose.percent(of) == shown.split(" [")[0]


@pytest.mark.parametrize(
    ("of", "plain", "signed", "short"),
    [
        (ABOVE, "15.0 [5.0, 25.0]", "+15.0 [+5.0, +25.0]", "15.0"),
        (BELOW, "−20.0 [−30.0, −10.0]", "−20.0 [−30.0, −10.0]", "−20.0"),
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
    assert prose.percent(of, 0, interval=True) == "−30 % [−50, −10]"
    assert prose.number(of) == "−0.30 [−0.50, −0.10]"
    assert prose.number(of, ".3f") == "−0.300 [−0.500, −0.100]"


def test_within_a_sentence_what_is_unknown_is_called_so():
    assert [prose.in_percent(ABOVE), prose.in_percent(ABOVE, True)] == ["15.0 %", "15.0 % [5.0, 25.0]"]
    assert prose.in_points(BELOW, "percentage points") == "−20.0 [−30.0, −10.0] percentage points"
    assert prose.in_points(ABOVE, sign=True) == "+15.0 [+5.0, +25.0] points"
    assert [prose.in_percent(nothing()), prose.in_points(nothing())] == ["an unknown share", "an unknown number of points"]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("above", "more"), ("below", "less"), ("around zero", "as often"), ("zero", "as often"), ("not measured", "unknown"),
        ("one seed", "more"), ("two of three seeds", "more"), ("rounds to zero", "less"), ("one of three seeds", "as often"),
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
    for of in every(SHARES, SHARES, OUTCOMES, FEW):
        inside, outside, gap, other = of
        said = dyck.gap_sentence(
            "SVD of rank 2 in layer 1", inside, outside, gap, dict(zip("ab"[:finer], (other, gap), strict=False))
        )
        assert flaw(said) is None, said
        assert ("At higher ranks" in said) == bool(finer)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("above", "That is a gap of 15.0 [5.0, 25.0] percentage points."),
        ("below", "So it agrees with the model more often there, by 20.0 [10.0, 30.0] percentage points."),
        ("around zero", "The gap, −10.0 [−30.0, 10.0] percentage points, cannot be told from none."),
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


SAID = {
    "above": "the SVD keeps more at ", "below": "k-means keeps more at ", "around zero": "neither keeps clearly more at ",
    "not measured": "they cannot be compared (not every seed has settings of both on either side of that level) at ",
}  # fmt: skip
BEGINS = (
    "Where the SVD and k-means agree with the model equally often in distribution, at unseen depth (differences: SVD less "
    "k-means, in points) "
)


@pytest.mark.parametrize("outcome", ["above", "below", "around zero"])
def test_svd_against_clustering_at_one_level(outcome):
    size = {"above": "+15.0 [+5.0, +25.0]", "below": "−20.0 [−30.0, −10.0]", "around zero": "−10.0 [−30.0, +10.0]"}
    said = dyck.comparison_sentence({0.55: OUTCOMES[outcome]})
    assert said == f"{BEGINS}{SAID[outcome]}55 % ({size[outcome]})."


@pytest.mark.parametrize(
    ("levels", "where"),
    [((0.5,), "that level: 50 %"), ((0.5, 0.55), "that level: 50 % and 55 %"), ((), "any level")],
)
def test_where_the_two_can_be_compared_nowhere_there_are_no_differences(levels, where):
    said = dyck.comparison_sentence(dict.fromkeys(levels, nothing()))
    assert flaw(said) is None
    assert said == (
        "The SVD and k-means cannot be compared where they agree with the model equally often (not every seed has settings of "
        f"both on either side of {where})."
    )


def test_svd_against_clustering_level_by_level():
    for of in every(OUTCOMES, FEW, FEW):
        differences = dict(zip((0.5, 0.95, 0.99), of, strict=True))
        said = dyck.comparison_sentence(differences)
        assert flaw(said) is None, said
        assert ("differences" in said) == any(difference.measured for difference in of)
        if "differences" not in said:
            continue
        assert said.startswith(BEGINS)
        where = {name: " ".join(re.findall(rf"{re.escape(says)}([^;]*)", said)) for name, says in SAID.items()}
        for level, difference in differences.items():
            low, high = difference.interval
            side = "above" if low > 0 else "below" if high < 0 else "around zero" if difference.measured else "not measured"
            shown = f"{100 * level:.0f} %" + f" ({prose.points(difference, sign=True)})" * difference.measured
            assert [name for name, levels in where.items() if shown in levels] == [side]


def test_svd_against_clustering_in_short():
    for of in every(OUTCOMES, FEW, FEW):
        said = dyck.comparison_in_short(dict(zip((0.5, 0.95, 0.99), of, strict=True)))
        assert flaw(said) is None, said
        known = [(level, e) for level, e in zip((50, 95, 99), of, strict=True) if e.measured]
        if not known:
            assert said.endswith("cannot be told.")
            continue
        levels = [level for level, _ in known]
        assert f"({min(levels)} to {max(levels)} %" in said
        svd, kmeans = sum(e.interval[0] > 0 for _, e in known), sum(e.interval[1] < 0 for _, e in known)
        counted = f"the SVD keeps clearly more at {svd} of {len(known)} levels, and k-means at {kmeans}."
        assert said.endswith(counted if svd or kmeans else "at unseen depth neither of the two keeps clearly more.")


def test_families_off_the_line():
    for of in every(OUTCOMES, OUTCOMES):
        said = dyck.line_sentence(dict(zip(("SVD", "k-means"), of, strict=True)))
        assert flaw(said) is None, said
        if not any(residual.measured for residual in of):
            assert said.startswith("Too few settings")
            continue
        above, below, on = re.fullmatch(r".* line says: (.*); less: (.*); not clearly either: (.*)\.", said).groups()
        for family, residual in zip(("SVD", "k-means"), of, strict=True):
            low, high = residual.interval
            sides = [low > 0, high < 0, residual.measured and not (low > 0 or high < 0)]
            assert [family in listed for listed in (above, below, on)] == sides
            assert not residual.measured or f"{family} ({prose.points(residual, sign=True)} points)" in said
    assert dyck.line_sentence({}).startswith("Too few settings")


def test_one_basis_or_two():
    """Rank by rank, in distribution and at unseen depth."""
    words = {"more often": "above", "less often": "below", "not clearly more or less often": "around zero"}
    for a, b, c in every(OUTCOMES, FEW, FEW):
        gains = {2: (a, b), 4: (c, a)}
        said = dyck.bases_sentence(gains)
        if not any(gain.measured for pair in gains.values() for gain in pair):
            assert said == ""
            continue
        assert flaw(said) is None, said
        assert said.startswith("One basis for both agrees with the model, against one for each (points), ")
        told = said.removesuffix(".").partition("(points), ")[2]
        before, found, deep = told.partition("at unseen depth ")
        parts = (before.removesuffix("; and ").removeprefix("in distribution "), deep)
        for i, part in enumerate(parts):
            pair = {rank: gain[i] for rank, gain in gains.items() if gain[i].measured}
            assert bool(part) == bool(pair)
            sides = dict(piece.split(" at rank", 1) for piece in part.split("; ") if piece)
            listed = {"above": [], "below": [], "around zero": []}
            for rank, gain in pair.items():
                low, high = gain.interval
                side = "above" if low > 0 else "below" if high < 0 else "around zero"
                listed[side].append(f"{rank} ({prose.points(gain, sign=True)})")
            expected = {side: f"{'s' * (len(of) > 1)} {' and '.join(of)}" for side, of in listed.items() if of}
            assert {words[word]: of for word, of in sides.items()} == expected
        assert bool(found) == bool(parts[1])
    assert dyck.bases_sentence({}) == ""


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_an_oracle_gains(count):
    for oracle, *of in every(OUTCOMES, OUTCOMES, FEW):
        others = dict(zip(("joint SVD of rank 4", "learned subspace of rank 4"), of[:count], strict=False))
        said = dyck.oracle_sentence("k-means with 4 clusters", oracle, others)
        if not oracle.measured:
            assert said == ""
            continue
        assert flaw(said) is None, said
        low, high = oracle.interval
        assert ("itself gains" in said, "itself loses" in said, "not clearly" in said) == (
            low > 0,
            high < 0,
            not (low > 0 or high < 0),
        )
        assert "loses −" not in said, "points lost are above zero"
        known = {name: other for name, other in others.items() if other.measured}
        assert all(f"{prose.points(other, sign=True)} with {name}" in said for name, other in known.items())
        more = [name for name, other in known.items() if (other - oracle).interval[0] > 0]
        assert ("Not one of them gains clearly more than the oracle." in said) == bool(known and not more)
        assert (": so much is not lost to every picture of that size." in said) == bool(more)
        assert not more or f"More than the oracle is gained with {prose.names(more)}: so much" in said


@pytest.mark.parametrize("shares", [(0.1234, 1.5), (0.0, np.nan)])
def test_what_is_dropped(shares):
    for of in every(OUTCOMES, OUTCOMES):
        said = dyck.dropped_sentence("k-means with 4 clusters", shares, of)
        assert flaw(said) is None, said
        assert ("12.3 % of the variance in distribution and 150.0 % at" in said) == (shares[0] > 0)


def test_a_gap_with_controls():
    for of in every(OUTCOMES, OUTCOMES, FEW):
        said = dyck.controls_sentence("SVD of rank 2", dict(zip(("gap", "length matched", "depth matched"), of, strict=True)))
        assert flaw(said) is None, said
        assert said.endswith(f"; it is {prose.points(of[1])} with length matched and {prose.points(of[2])} with depth matched.")


VERDICTS = {
    "above": GAP, "below": OPPOSITE, "around zero": UNDECIDED, "zero": EQUAL, "rounds to zero": EQUAL,
    "not measured": NOT_APPLICABLE, "one seed": UNDECIDED, "two of three seeds": UNDECIDED, "one of three seeds": UNDECIDED,
    "hardly anything drawn": UNDECIDED,
}  # fmt: skip


def test_outcomes_have_every_verdict():
    assert {name: RULES.verdict(of) for name, of in OUTCOMES.items()} == VERDICTS


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("above", "agreement is lower than it would be had it gone on as before for SVD (15.0 [5.0, 25.0] points)."),
        ("below", "agreement is higher than it would be had it gone on as before for SVD (20.0 [10.0, 30.0] points)."),
        ("zero", "agreement goes on as before for SVD (0.0 [0.0, 0.0] points)."),
        ("around zero", "cannot be told for SVD (−10.0 [−30.0, 10.0] points)."),
        ("one seed", "cannot be told for SVD (15.0 [5.0, 25.0] points)."),
        ("two of three seeds", "cannot be told for SVD (15.0 [13.7, 16.3] points)."),
        ("one of three seeds", "cannot be told for SVD (20.0 points)."),
        ("not measured", "cannot be told for SVD."),
    ],
)
def test_the_boundary_of_one_setting(outcome, says):
    told = "Beyond depth 10, the deepest of training, " if "agreement" in says else "Whether anything changes beyond depth 10 "
    assert dyck.boundary_sentence(10, {"SVD": OUTCOMES[outcome]}) == told + says


def test_the_boundary_of_several_settings():
    texts = {GAP: "is lower than", OPPOSITE: "is higher than", EQUAL: "goes on as before for"}
    for pair in product({**OUTCOMES, "none": None}, repeat=2):
        found = {label: OUTCOMES.get(name) for label, name in zip(("SVD", "one-hot"), pair, strict=True)}
        said = dyck.boundary_sentence(10, found)
        assert flaw(said) is None, said
        known, _, unclear = said.partition("Whether")
        parts = {verdict: [part for part in known.split("; ") if text in part] for verdict, text in texts.items()}
        for label, effect in found.items():
            verdict = RULES.verdict(effect)
            listed = [of for of, part in parts.items() if part and label in part[0]]
            assert listed == ([verdict] if verdict in texts else [])
            assert (label in unclear) == (verdict not in texts)
    assert dyck.boundary_sentence(10, {}) == ""


def test_parts_of_a_gap():
    for of in every(OUTCOMES, OUTCOMES, FEW):
        parts = Decomposition(*of)
        said = dyck.decomposition_sentence("SVD of rank 4", parts)
        assert flaw(said) is None, said
        if not all(part.measured for part in of):
            assert said == "The gap of SVD of rank 4 at unseen depth could not be taken apart."
            continue
        found = re.fullmatch(
            r"The gap of SVD of rank 4 at unseen depth is (.*?) points\. Levels that .*? make (.*?) of them, the levels of "
            r"training (.*?): (.*?) from the mix of depths \(.*?\) and (.*?) from agreement on the same levels(.*)\.",
            said,
        ).groups()
        mix, within, beyond = of
        assert found[:5] == tuple(map(prose.points, (mix + within + beyond, beyond, mix + within, mix, within)))
        decided = tuple(part.interval[0] > 0 or part.interval[1] < 0 for part in (mix, within))
        assert found[5] == UNDIVIDED[decided]


UNDIVIDED = {
    (True, True): "",
    (True, False): ", of which only the mix can be told from none",
    (False, True): ", of which only the change on the same levels can be told from none",
    (False, False): ", neither of which can be told from none",
}


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("above", "a gap of 15.0 [5.0, 25.0] points is left."),
        ("below", "it agrees more often, by 20.0 [10.0, 30.0] points."),
        ("around zero", "no gap can be told (−10.0 [−30.0, 10.0] points)."),
        ("zero", "no gap can be told (0.0 [0.0, 0.0] points)."),
        ("rounds to zero", "it agrees more often, by 0.0 [0.0, 0.0] points."),
        ("one seed", "a gap of 15.0 [5.0, 25.0] points is left."),
        ("two of three seeds", "a gap of 15.0 [13.7, 16.3] points is left."),
        ("one of three seeds", "no gap can be told (20.0 points)."),
        ("hardly anything drawn", "a gap of 20.0 [20.0, 20.0] points is left."),
        ("not measured", ""),
    ],
)
def test_what_is_left_of_a_gap_at_equal_length_and_depth(outcome, says):
    said = dyck.matched_sentence(OUTCOMES[outcome])
    assert said == "" or flaw(said) is None
    alike = "Against sentences in distribution that are as long, and brackets that are as deep (so none deeper than training), "
    assert said == (alike + says if says else "")


def test_every_outcome_of_a_gap_at_equal_depth_is_told():
    tested = {
        outcome for mark in test_what_is_left_of_a_gap_at_equal_length_and_depth.pytestmark for outcome, _ in mark.args[1]
    }
    assert tested == {*OUTCOMES}


def test_how_rare_deep_brackets_are():
    said = dyck.occurrence_sentence(8, 0.0134, 0.33)
    assert said.endswith("1.3 % lie at depth 8 or more; at unseen depth, 33.0 %.")
    assert flaw(said) is flaw(dyck.occurrence_sentence(8, 0, 1)) is None


MISSED = {
    "some": estimate(0.1, 0.3),
    "none": estimate(0, 0),
    "all": estimate(1, 1),
    "one seed": Estimate(np.array([0.2]), None, 30),
}


def test_where_attention_goes_wrong():
    for missed, even, chance in every(MISSED, {**MISSED, **OUTCOMES}, {**MISSED, **OUTCOMES}):
        found = {"missed": missed, "level": MISSED["none"], "even": even, "deeper": MISSED["some"]}
        said = dyck.misses_sentence("SVD of rank 4", found, {"even": chance, "deeper": MISSED["all"]})
        if not even.measured:
            assert said == ""
            continue
        assert flaw(said) is None, said
        low, high = (even - chance).interval
        verdict = "more often" if low > 0 else "less often" if high < 0 else "not clearly more or less often"
        expected = f"{verdict} than by chance" if chance.measured else "which cannot be compared with chance"
        assert f"an even number of levels away, {expected} (" in said
        assert f"than the opener in {prose.percent(missed)} of cases; in 0.0 % of these" in said
        assert f"wrong depth, {prose.percent(even, interval=True)} are an even" in said
        assert f"at the same depths: {prose.in_percent(chance)}), and 20.0 % [10.0, 30.0] are deeper" in said
        assert said.endswith("(any earlier bracket: 100.0 %).")
    missing = dict.fromkeys(("missed", "level", "even", "deeper"), nothing())
    assert dyck.misses_sentence("SVD of rank 4", missing, missing) == ""


def test_what_helps():
    for *pair, rank in every(OUTCOMES, OUTCOMES, OUTCOMES):
        gains = dict(zip(("joint SVD of rank 4", "SVD of rank 4 fitted on more"), pair, strict=True))
        said = dyck.helps_sentence("SVD of rank 4", gains, {"SVD of rank 8": rank}, {"joint SVD of rank 4"})
        finer = f", in points, {prose.points(rank, sign=True)} with SVD of rank 8."
        if not any(gain.measured for gain in pair):
            expected = f"Finer pictures gain at unseen depth against SVD of rank 4{finer}" if rank.measured else ""
            assert said == expected
            continue
        assert flaw(said) is None, said
        said, found, more = said.partition(" Finer pictures gain")
        assert (bool(found), more) == (rank.measured, finer if rank.measured else "")
        said, found, resolution = said.partition(" (Half of the intervals reach at least ")
        halves = [(high - low) / 2 for low, high in (gain.interval for gain in pair) if not np.isnan(low)]
        half = f"{100 * np.median(halves):.1f}" if halves else "0.0"
        assert resolution == (
            f"{half} points to either side: there, smaller differences cannot be told.)" if half != "0.0" else ""
        )
        assert bool(found) == bool(resolution)
        higher = re.search(r"is higher by so many points with (.*?)\.( It| No|$)", said)
        lower, unclear = re.search(r"It is lower with (.*?)\.( No|$)", said), re.search(r"No clear difference: (.*)\.$", said)
        for label, gain in gains.items():
            low, high = gain.interval
            sides = [low > 0, high < 0, gain.measured and not (low > 0 or high < 0)]
            assert [bool(part) and f"{label} (" in part[1] for part in (higher, lower, unclear)] == sides
            seen = ", which has seen such sentences" if label.startswith("joint") else ""
            assert not gain.measured or f"{label} ({prose.points(gain, sign=True)}{seen})" in said
        assert said.startswith("No other picture of the same size agrees clearly more often than SVD") == (higher is None)
    assert dyck.helps_sentence("SVD of rank 4", {}, {}, set()) == ""


def test_several_finer_pictures_are_named_but_for_those_that_were_not_measured():
    finer = {"SVD of rank 8": ABOVE, "SVD of rank 12": nothing(), "SVD of rank 16": BELOW}
    said = dyck.helps_sentence("SVD of rank 4", {"joint SVD of rank 4": AROUND}, finer, set())
    assert flaw(said) is None
    assert said == (
        "No other picture of the same size agrees clearly more often than SVD of rank 4 at unseen depth. No clear difference: "
        "joint SVD of rank 4 (−10.0 [−30.0, +10.0]). (Half of the intervals reach at least 20.0 points to either side: there, "
        "smaller differences cannot be told.) Finer pictures gain, in points, +15.0 [+5.0, +25.0] with SVD of rank 8 and −20.0 "
        "[−30.0, −10.0] with SVD of rank 16."
    )


# Code


def test_how_well_a_code_model_learned():
    for of in every(SHARES, OUTCOMES, SHARES, FEW):
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
            "not clearly more or less often": of[1].measured and not (low > 0 or high < 0),
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


def test_words_at_equal_agreement():
    for of in every(OUTCOMES, OUTCOMES):
        differences = dict(zip(("SVD", "k-means"), of, strict=True))
        said = code.equal_words_sentence(0.9, differences)
        assert flaw(said) is None, said
        assert said.startswith("Where a family agrees with the model in 90 % of cases on either kind of word in distribution")
        texts = {"above": "gap is larger on", "below": "is smaller on", "unclear": "not clearly", "missing": "cannot be told"}
        parts = {name: "".join(part for part in said.split("; ") if text in part) for name, text in texts.items()}
        for label, difference in differences.items():
            low, high = difference.interval
            side = "above" if low > 0 else "below" if high < 0 else "unclear" if difference.measured else "missing"
            assert [name for name, part in parts.items() if label in part] == [side]
            assert not difference.measured or f"{label} ({prose.points(difference, sign=True)} points)" in said
    assert code.equal_words_sentence(0.9, {}) == ""


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("above", ""),
        ("below", "less often than a 6-gram model that was counted on all training text (−20.0 [−30.0, −10.0] points; the "
         "model made 2.5 passes over it): read its gaps as a demonstration."),
        ("around zero", "(−10.0 [−30.0, +10.0] points)."),
        ("zero", "(0.0 [0.0, 0.0] points)."),
        ("one seed", ""),
        ("one of three seeds", "(+20.0 points)."),
        ("not measured", ""),
    ],
)  # fmt: skip
def test_a_model_that_is_no_better_than_local_statistics_is_called_weak(outcome, says):
    said = code.weak_sentence(OUTCOMES[outcome], 2.46)
    assert said.endswith(says)
    assert bool(said) == bool(says)
    assert said == "" or flaw(said) is None
    unclear = bool(said) and outcome != "below"
    assert said.startswith("That this model is right more often than a 6-gram model is not clear (") == unclear


@pytest.mark.parametrize(
    ("passes", "says"), [(0.01, "fewer than 0.1"), (0.05, "0.1"), (0.94, "0.9"), (12.0, "12.0"), (123.4, "123.4")]
)
def test_passes_over_the_training_text_are_never_none(passes, says):
    assert f"the model made {says} passes over it" in code.weak_sentence(BELOW, passes)


def test_every_outcome_of_a_weak_model_reads_well():
    for of in OUTCOMES.values():
        said = code.weak_sentence(of, 1.0)
        low, high = of.interval
        assert (flaw(said) is None) if said else (low > 0 or not of.measured)
        assert ("a demonstration" in said) == (high < 0)


def test_what_was_foreseen():
    for errors in every(SHARES, OUTCOMES):
        known = {name: error for name, error in zip(("unchanged", "margin"), errors, strict=True) if error.measured}
        for lost in ([], ["SVD of rank 2"], ["SVD of rank 2", "one-hot"]):
            said = code.foreseen_sentence(known, "margin", lost)
            assert flaw(said) is None, said
            if not known:
                assert said == "Nothing could be foreseen: too few characters were predicted."
                continue
            listed = " and ".join(f"{prose.points(error)} by {name}" for name, error in known.items())
            assert f"in points, mean over proxies: {listed} (`unchanged` expects no gap)." in said
            further = {0: "", 1: " The margin is further off than that for SVD of rank 2."}
            further[2] = " The margin is further off than that for SVD of rank 2 and one-hot."
            assert said.partition("expects no gap).")[2] == further[len(lost)]


@pytest.mark.parametrize("module", [dyck, code])
def test_every_sentence_is_tested_here(module):
    tested: list[Callable] = [
        dyck.learned, dyck.gap_sentence, dyck.better_sentence, dyck.attention_sentence, dyck.comparison_sentence,
        dyck.dropped_sentence, dyck.controls_sentence, dyck.line_sentence, dyck.bases_sentence, dyck.oracle_sentence,
        dyck.occurrence_sentence, dyck.boundary_sentence, dyck.decomposition_sentence, dyck.misses_sentence,
        dyck.comparison_in_short, dyck.helps_sentence, dyck.matched_sentence, dyck._resolution,
        code.learned, code.faithful_sentence,
        code.domain_sentence, code.words_sentence, code.margins_sentence, code.equal_words_sentence, code.weak_sentence,
        code.foreseen_sentence,
    ]  # fmt: skip
    defined = [of for of in vars(module).values() if callable(of) and getattr(of, "__module__", "") == module.__name__]
    assert defined
    assert set(defined) <= set(tested)
