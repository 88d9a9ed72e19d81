"""Sentences: each is fed every outcome, and reads well whatever that is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest
from planted import estimate
from readable import flaw, seen

from lib import prose
from lib.measuring.intervals import Estimate, nothing
from lib.measuring.matching import Decomposition
from lib.proxies import PROXIES, Simplification
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED
from lib.tasks.code import prose as code
from lib.tasks.dyck import headings, promises
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
    assert seen(prose.quiet(of, ".2f")) == "−0.30 [−0.50, −0.10]"
    assert seen(prose.quiet(of, ".3f", " m", 10)) == "−3.000 m [−5.000, −1.000]"


def test_within_a_sentence_what_is_unknown_is_called_so():
    assert prose.in_percent(ABOVE) == "15.0 %"
    assert seen(prose.share(ABOVE)) == "15 % [5, 25]"
    assert prose.whole(ABOVE) == "15\N{NO-BREAK SPACE}%", "a heading does not break there"
    assert seen(prose.difference(BELOW, "percentage points")) == "−20.0 [−30.0, −10.0] percentage points"
    assert seen(prose.difference(ABOVE, sign=True)) == "+15.0 [+5.0, +25.0] points"
    missing = [prose.in_percent(nothing()), prose.share(nothing()), prose.whole(nothing()), prose.difference(nothing())]
    assert missing == [*["an unknown share"] * 3, "an unknown number of points"]
    assert prose.quiet(nothing(), ".1f") == "not measured"


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0 %"), (0.004, "0.4 %"), (0.006, "1 %"), (0.994, "99 %"), (0.996, "99.6 %"), (1.0, "100 %")]
)
def test_whole_per_cent_never_say_all_or_none_of_what_is_not_quite_that(value, shown):
    of = Estimate(np.array([value]))
    assert prose.share(of) == prose.whole(of).replace("\N{NO-BREAK SPACE}", " ") == shown


def test_an_interval_can_be_reached_without_a_mouse_and_reads_well_without_a_style_sheet():
    shown = prose.share(ABOVE)
    assert shown == '<span class="estimate" tabindex="0">15 %<span class="interval"> [5, 25]</span></span>'
    assert "span" not in prose.share(Estimate(np.array([0.5]))), "without an interval there is nothing to show"


def test_a_link_sets_the_live_figure_to_a_simplification():
    link = prose.live("rank 2", Simplification("svd", 2, 1))
    assert link == '<a class="live" href="#live:proxy=svd&amp;complexity=2&amp;layer=1">rank 2</a>'
    assert "complexity" not in prose.live("one-hot", Simplification("one_hot", None, 1))
    assert seen(dyck.settings_sentence([Simplification("svd", 2, 1), Simplification("one_hot", None, 1)])) == (
        "Set the figure to SVD of rank 2 and one-hot."
    )


def test_a_box_has_every_item_and_what_every_proxy_does_and_escapes_both():
    box = prose.setup({"rank <2>": "Two & no more."}, ["kmeans"])
    assert "<dt>Rank &lt;2&gt;</dt><dd>Two &amp; no more.</dd>" in box
    assert f"<dt>K-means</dt><dd>{prose.in_a_line('kmeans')}</dd>" in box


@pytest.mark.parametrize("proxy", PROXIES)
def test_what_a_proxy_does_is_said_in_a_line(proxy):
    said = prose.in_a_line(proxy)
    assert flaw(said.replace("`", "")) is None
    assert len(said) < 150


def test_a_finding_is_its_heading_in_bold_and_what_there_is_to_say_of_it():
    assert prose.finding("It holds", "So often.", "", "And so on.") == "<p><b>It holds.</b> So often. And so on.</p>"


@pytest.mark.parametrize(("over", "wide"), [(3, True), (10, False)])
def test_how_sure_one_can_be_is_said_with_how_few_models_there_are(over, wide):
    said = prose.how_sure("preset quick, 3 seeds", "95 % intervals over 3 seeds", over, "One thing more.")
    assert flaw(said) is None
    assert ("so few" in said) == wide
    assert said.startswith("Measured on preset quick, 3 seeds. ")
    assert said.endswith(" One thing more.")


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


def test_levels_are_told_from_the_lowest_to_the_highest():
    assert prose.span([0.65, 0.55, 0.6]) == "55 to 65 %"
    assert prose.span({0.55: ABOVE}) == "55 %"


def test_a_paragraph_leaves_out_what_is_empty_and_joins_lines():
    assert prose.paragraph("One.", "", "Two\n  lines.") == "One. Two lines."


def test_a_table_has_a_row_for_each_key_and_nothing_for_what_is_missing():
    table = prose.table({"a": {"x": "1"}, "b": {"x": "2", "y": "3"}}, "letters")
    assert table.to_dict("index") == {"a": {"x": "1", "y": ""}, "b": {"x": "2", "y": "3"}}
    assert table.index.name == "letters"


# Dyck


def side(of: Estimate) -> str:
    """Where an interval lies."""
    low, high = of.interval
    return "above" if low > 0 else "below" if high < 0 else "around zero" if of.measured else "not measured"


def test_how_well_a_dyck_model_learned():
    for of in every(SHARES, SHARES, SHARES, SHARES):
        said = dyck.learned(*of)
        assert flaw(said) is None, said
        inside, deep, deepest, long = map(prose.share, of)
        assert f"closes {inside} of the scored brackets correctly in distribution, {deep} in deeper" in said
        assert f"{long} in longer ones" in said
        assert f"than any in training it closes {deepest}" in said


@pytest.mark.parametrize("finer", [0, 1, 2])
def test_a_gap(finer):
    for of in every(SHARES, SHARES, OUTCOMES, FEW):
        inside, outside, gap, other = of
        said = dyck.gap_sentence(
            "SVD of rank 2 in layer 1", inside, outside, gap, dict(zip("ab"[:finer], (other, gap), strict=False))
        )
        assert flaw(said) is None, said
        assert ("With more directions" in said) == bool(finer)


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("above", "That is a gap of 15.0 [5.0, 25.0] points."),
        ("below", "So it agrees with the model more often there, by 20.0 [10.0, 30.0] points."),
        ("around zero", "The gap, −10.0 [−30.0, 10.0] points, cannot be told from none."),
        ("zero", "The gap, 0.0 [0.0, 0.0] points, cannot be told from none."),
        ("not measured", "So there is no gap to tell."),
    ],
)
def test_a_gap_is_one_only_above_zero(outcome, says):
    assert seen(dyck.gap_sentence("It", SHARES["most"], SHARES["most"], OUTCOMES[outcome], {})).endswith(says)


def test_an_interval_stands_where_it_decides_and_is_quiet_where_it_does_not():
    clear, unclear = (dyck.gap_sentence("It", *[SHARES["all"]] * 2, of, {}) for of in (ABOVE, AROUND))
    assert "a gap of 15.0 points." in re.sub(r'<span class="interval">.*?</span>', "", clear).replace("</span>", "").replace(
        '<span class="estimate" tabindex="0">', ""
    )
    assert "The gap, −10.0 [−30.0, 10.0] points" in unclear


def test_whether_one_hot_attention_is_better():
    for of in every(SHARES, OUTCOMES):
        said = seen(dyck.better_sentence(*of))
        assert flaw(said) is None, said
        words = {"points more than the model": "above", "points less than the model": "below", "neither": "around zero"}
        assert [word in said for word in words] == [side(of[1]) == where for where in words.values()]


def test_attention_on_the_right_bracket():
    for of in every(SHARES, SHARES, SHARES, SHARES):
        said = dyck.attention_sentence("SVD of rank 2", of[:2], of[2:])
        assert flaw(said) is None, said
        a, b, c, d = map(prose.share, of)
        assert f"from {a} to {b} in the model, and from {c} to {d} with SVD" in said


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (
            "above",
            "nothing is known. In deeper sentences the SVD keeps clearly more at 1 of 1 levels, and k-means at 0.",
        ),
        (
            "below",
            "nothing is known. In deeper sentences the SVD keeps clearly more at 0 of 1 levels, and k-means at 1.",
        ),
        (
            "around zero",
            "in 55 % of cases; of other levels nothing is known. In deeper sentences neither of them keeps clearly more there.",
        ),
        ("not measured", "cannot be told."),
    ],
)
def test_svd_against_clustering_at_one_level(outcome, says):
    assert says in promises.comparison_sentence({0.55: OUTCOMES[outcome]})


def test_svd_against_clustering_level_by_level():
    for of in every(OUTCOMES, FEW, FEW):
        said = promises.comparison_sentence(dict(zip((0.5, 0.95, 0.99), of, strict=True)))
        assert flaw(said) is None, said
        known = [(level, e) for level, e in zip((50, 95, 99), of, strict=True) if e.measured]
        if not known:
            assert said.endswith("cannot be told.")
            continue
        levels = [level for level, _ in known]
        assert (f"in {min(levels)} to {max(levels)} % of" if len(levels) > 1 else f"in {levels[0]} % of") in said
        svd, kmeans = (sum(side(e) == where for _, e in known) for where in ("above", "below"))
        counted = f"the SVD keeps clearly more at {svd} of {len(known)} levels, and k-means at {kmeans}."
        assert (counted if svd or kmeans else "neither of them keeps clearly more there.") in said


def test_families_off_the_line():
    for of in every(OUTCOMES, OUTCOMES):
        said = seen(promises.line_sentence(dict(zip(("SVD", "k-means"), of, strict=True))))
        assert flaw(said) is None, said
        if not any(residual.measured for residual in of):
            assert said.startswith("Too few settings")
            continue
        sides = {family: side(residual) for family, residual in zip(("SVD", "k-means"), of, strict=True)}
        above, found, rest = said.rpartition(" above the line")
        assert "that is fitted through all" in said
        above, rest = (above, rest) if found else ("", said)
        below = rest.partition(" below the line")[0] if " below the line" in rest else ""
        for family, where in sides.items():
            assert [family in part for part in (above, below)] == [where == "above", where == "below"]
        assert ("no family lies clearly off the line" in said) == (not {"above", "below"} & {*sides.values()})
        assert "(by −" not in said, "how much less is above zero"
    assert promises.line_sentence({}).startswith("Too few settings")


def test_settings_that_keep_less_than_they_promise():
    for gaps in every(FEW, FEW, FEW):
        said, sides = promises.diagonal_sentence(gaps), [side(gap) for gap in gaps]
        if not any(gap.measured for gap in gaps):
            assert said == ""
            continue
        assert flaw(said) is None, said
        below, above = (sides.count(where) or "none" for where in ("above", "below"))
        known = sum(gap.measured for gap in gaps)
        assert re.match(rf"Of {known} settings?, {below} clearly keeps? less .* diagonal, and {above} more\.", said)


def test_one_basis_or_two():
    """Rank by rank, in distribution and at unseen depth."""
    words = {"more often": "above", "less often": "below", "not clearly more or less often": "around zero"}
    for a, b, c in every(OUTCOMES, FEW, FEW):
        gains = {2: (a, b), 4: (c, a)}
        said = promises.bases_sentence(gains)
        if not any(gain.measured for pair in gains.values() for gain in pair):
            assert said == ""
            continue
        assert flaw(said) is None, said
        told = said.removesuffix(".").partition("one for each, ")[2]
        before, found, deep = told.partition("in deeper sentences ")
        parts = (before.removesuffix("; and ").removeprefix("in distribution "), deep)
        for i, part in enumerate(parts):
            pair = {rank: gain[i] for rank, gain in gains.items() if gain[i].measured}
            assert bool(part) == bool(pair)
            sides = dict(piece.split(" at rank", 1) for piece in part.split("; ") if piece)
            listed = {"above": [], "below": [], "around zero": []}
            for rank, gain in pair.items():
                listed[side(gain)].append(f"{rank}")
            expected = {where: f"{'s' * (len(of) > 1)} {' and '.join(of)}" for where, of in listed.items() if of}
            assert {words[word]: of for word, of in sides.items()} == expected
        assert bool(found) == bool(parts[1])
    assert promises.bases_sentence({}) == ""


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_an_oracle_gains(count):
    for oracle, *of in every(OUTCOMES, OUTCOMES, FEW):
        others = dict(zip(("joint SVD of rank 4", "learned subspace of rank 4"), of[:count], strict=False))
        said = seen(promises.oracle_sentence("k-means with 4 clusters", oracle, others))
        if not oracle.measured:
            assert said == ""
            continue
        assert flaw(said) is None, said
        words = {"themselves gains": "above", "themselves loses": "below", "not clearly": "around zero"}
        assert [word in said for word in words] == [side(oracle) == where for where in words.values()]
        assert "loses −" not in said, "points lost are above zero"
        known = {name: other for name, other in others.items() if other.measured}
        more = [name for name, other in known.items() if (other - oracle).interval[0] > 0]
        assert ("No other picture of that size, none of which saw" in said) == bool(known and not more)
        assert not more or said.endswith(f"More than that is gained with {prose.names(more)}, which never saw such sentences.")


@pytest.mark.parametrize("shares", [(0.1234, 1.5), (0.0, np.nan)])
def test_what_is_dropped(shares):
    for of in every(OUTCOMES, OUTCOMES):
        said = promises.dropped_sentence("k-means with 4 clusters", shares, of)
        assert flaw(said) is None, said
        assert ("12.3 % of the variance in distribution and 150.0 % in" in said) == (shares[0] > 0)
    assert promises.less_dropped_sentence([]) == ""
    for labels in (["SVD of rank 4"], ["SVD of rank 4", "k-means with 4 clusters"]):
        assert flaw(said := promises.less_dropped_sentence(labels)) is None
        assert f"{prose.names(labels)} drop{'s' * (len(labels) == 1)} a smaller share of deeper" in said


def test_the_svd_against_random_directions():
    for of in every(OUTCOMES, FEW, FEW):
        said = promises.random_sentence(dict(zip((2, 4, 8), of, strict=True)))
        known = [e for e in of if e.measured]
        if not known:
            assert said == ""
            continue
        assert flaw(said) is None, said
        more, less = (sum(side(e) == where for e in known) for where in ("above", "below"))
        assert f"at {more or 'none'} of {len(known)} rank" in said
        assert (f"and less often at {less}." in said) == bool(less)


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
        ("above", "agreement is lower than the trend before it says for SVD (by 15.0 [5.0, 25.0] points)."),
        ("below", "agreement is higher than the trend before it says for SVD (by 20.0 [10.0, 30.0] points)."),
        ("zero", "agreement goes on as before for SVD."),
        ("around zero", "cannot be told for SVD."),
        ("one seed", "cannot be told for SVD."),
        ("not measured", "cannot be told for SVD."),
    ],
)
def test_the_boundary_of_one_setting(outcome, says):
    told = "Beyond depth 10, the deepest of training, " if "agreement" in says else "Whether anything changes beyond depth 10 "
    assert seen(dyck.boundary_sentence(10, {"SVD": OUTCOMES[outcome]})) == told + says


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
        said, short = (seen(text) for text in (dyck.decomposition_sentence("SVD of rank 4", parts), dyck.mix_sentence(parts)))
        assert flaw(said) is flaw(short) is None, said + short
        if not all(part.measured for part in of):
            assert "could not be taken apart" in said
            assert "could not be taken apart" in short
            continue
        found = re.fullmatch(
            r"Of the gap of SVD of rank 4, (.*?) points, (.*?) come from the mix of depths, (.*?) from a change of agreement "
            r"at the same depth, and (.*?) from depths that brackets in distribution hardly reach\. ?(.*)",
            said,
        ).groups()
        mix, within, beyond = of
        assert found[:4] == tuple(map(prose.points, (mix + within + beyond, mix, within, beyond)))
        assert found[4] == UNDIVIDED[tuple(part.interval[0] > 0 or part.interval[1] < 0 for part in (mix, within))]
        called = "gap" if parts.gap.interval[0] > 0 else "difference"
        assert short.startswith(f"Of the {called} in deeper sentences, {found[1]} points come from the mix of depths")
        assert (f"{found[3]} points lie on levels hardly seen" in short) == (beyond.interval[0] > 0)


UNDIVIDED = {
    (True, True): "",
    (True, False): "Of these, a change at the same depth cannot be told from none.",
    (False, True): "Of these, the mix of depths cannot be told from none.",
    (False, False): "Neither the mix of depths nor a change at the same depth can be told from none.",
}


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("above", "a gap of 15.0 [5.0, 25.0] points is left."),
        ("below", "the picture agrees more often in deeper sentences, by 20.0 [10.0, 30.0] points."),
        ("around zero", "no gap can be told (−10.0 [−30.0, 10.0] points)."),
        ("zero", "no gap can be told (0.0 [0.0, 0.0] points)."),
        ("rounds to zero", "the picture agrees more often in deeper sentences, by 0.0 [0.0, 0.0] points."),
        ("one seed", "a gap of 15.0 [5.0, 25.0] points is left."),
        ("two of three seeds", "a gap of 15.0 [13.7, 16.3] points is left."),
        ("one of three seeds", "no gap can be told (20.0 points)."),
        ("hardly anything drawn", "a gap of 20.0 [20.0, 20.0] points is left."),
        ("not measured", ""),
    ],
)
def test_what_is_left_of_a_gap_at_equal_length_and_depth(outcome, says):
    said = seen(dyck.matched_sentence(OUTCOMES[outcome]))
    assert said == "" or flaw(said) is None
    alike = "Against sentences in distribution that are as long, and brackets that are as deep, "
    assert said == (alike + says if says else "")


def test_every_outcome_of_a_gap_at_equal_depth_is_told():
    tested = {
        outcome for mark in test_what_is_left_of_a_gap_at_equal_length_and_depth.pytestmark for outcome, _ in mark.args[1]
    }
    assert tested == {*OUTCOMES}


def test_how_rare_deep_brackets_are():
    said = dyck.occurrence_sentence(8, 0.0134, 0.33)
    assert said.endswith("1.3 % lie at depth 8 or more; in deeper sentences, 33.0 %.")
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
        assert f"an even number of levels away, {expected}, and" in said
        assert ("By chance, at the depths where it errs," in said) is chance.measured
        assert f"than the opener in {prose.share(missed)} of cases." in said
        assert f"it then finds, {prose.share(even)} are an even" in said
        assert f"and {prose.share(MISSED['some'])} are deeper than the opener." in said
        if chance.measured:
            assert said.endswith(f"it would be {prose.share(chance)} and {prose.share(MISSED['all'])}.")
    missing = dict.fromkeys(("missed", "level", "even", "deeper"), nothing())
    assert dyck.misses_sentence("SVD of rank 4", missing, missing) == ""


def test_what_helps():
    for *pair, rank in every(OUTCOMES, OUTCOMES, OUTCOMES):
        gains = dict(zip(("joint SVD of rank 4", "SVD of rank 4 fitted on more"), pair, strict=True))
        said = seen(dyck.helps_sentence("SVD of rank 4", gains, {"SVD of rank 8": rank}, {"joint SVD of rank 4"}))
        finer = f"More directions change it by {prose.points(rank, sign=True)} points with SVD of rank 8."
        if not any(gain.measured for gain in pair):
            assert said == (finer if rank.measured else "")
            continue
        assert flaw(said) is None, said
        assert said.endswith(finer) == rank.measured
        said = said.removesuffix(finer).strip()
        said, _, resolution = said.partition(" Typically, differences of less than ")
        halves = [(high - low) / 2 for low, high in (gain.interval for gain in pair) if not np.isnan(low)]
        half = f"{100 * np.median(halves):.1f}" if halves else "0.0"
        assert resolution == (f"{half} points cannot be told here." if half != "0.0" else "")
        higher = re.search(r"is higher than with SVD of rank 4 for (.*?)\.( It| No|$)", said)
        lower, unclear = (re.search(rf"{text} (.*?)\.( No|$)", said) for text in ("It is lower for", "can be told for"))
        for label, gain in gains.items():
            sides = [side(gain) == where for where in ("above", "below", "around zero")]
            assert [bool(part) and label in part[1] for part in (higher, lower, unclear)] == sides
            remark = ", which has seen such sentences" if label.startswith("joint") else ""
            assert side(gain) != "above" or f"{label} (by {prose.points(gain)} points{remark})" in said
        assert ("no other picture of the same size agrees clearly more often than SVD" in said) == (higher is None)
    assert dyck.helps_sentence("SVD of rank 4", {}, {}, set()) == ""


def test_a_share_on_the_first_page_is_told_of_what():
    assert flaw(dyck.picture_sentence()) is None


def test_more_directions_on_the_first_page():
    for of in (*OUTCOMES.values(), estimate(0.001, 0.006), estimate(0.019, 0.021)):
        said = dyck.finest_sentence("SVD of rank 12", of)
        assert (said == "") == (not of.measured)
        assert not said or flaw(said) is None, said
        low, high = of.interval
        small = -RULES.margins.equal < low and high < RULES.margins.equal
        assert ("changes by less than the scorecard's margin" in said) == small
        words = {"falls, too": "above", "rises": "below", "no change can be told": "around zero"}
        assert small or [word in said for word in words] == [side(of) == where for where in words.values()]


def test_several_finer_pictures_are_named_but_for_those_that_were_not_measured():
    finer = {"SVD of rank 8": ABOVE, "SVD of rank 12": nothing(), "SVD of rank 16": BELOW}
    said = seen(dyck.helps_sentence("SVD of rank 4", {"joint SVD of rank 4": AROUND}, finer, set()))
    assert flaw(said) is None
    assert said.endswith(
        "More directions change it by +15.0 [+5.0, +25.0] points with SVD of rank 8 and −20.0 [−30.0, −10.0] "
        "points with SVD of rank 16."
    )


# Headings on Dyck


def reads_well(heading: str) -> bool:
    """Whether it is a heading: short, without an interval and without a stop."""
    plain = "[" not in heading and "<" not in heading and not heading.endswith(".")
    return plain and len(heading) <= 110 and flaw(f"{heading}." if heading[-1] != "?" else heading[:-1] + ".") is None


SEVERAL = list(product(FEW.values(), repeat=2))


def test_headings_on_the_model_and_on_deeper_sentences():
    for inside, outside, gap in every(SHARES, SHARES, OUTCOMES):
        assert reads_well(headings.learned(inside, outside))
        said = headings.deeper("SVD of rank 12", inside, outside, gap)
        assert reads_well(said), said
        words = {"falls": "above", "rises": "below", "no change of agreement": "around zero"}
        assert "SVD of rank 12" in said
        assert [word in said for word in words] == [side(gap) == where for where in words.values()]


@pytest.mark.parametrize(
    ("verdicts", "says"),
    [
        ([], "could not be measured"),
        ([NOT_APPLICABLE] * 2, "could not be measured"),
        ([EQUAL, EQUAL, NOT_APPLICABLE], "agreement goes on as before"),
        ([EQUAL, UNDECIDED], "no break can be told"),
        ([UNDECIDED], "no break can be told"),
        ([GAP, EQUAL, NOT_APPLICABLE], "agreement drops in 1 of 2 pictures"),
        ([OPPOSITE, UNDECIDED], "agreement rises in 1 of 2 pictures"),
        ([GAP, OPPOSITE, GAP], "agreement drops in 2 of 3 pictures and rises in 1 of 3 pictures"),
    ],
)
def test_the_heading_on_the_edge_of_training(verdicts, says):
    said = headings.boundary(verdicts)
    assert reads_well(said)
    assert says in said


def test_headings_on_one_gap():
    for of in OUTCOMES.values():
        words = {"has a gap of": "above", "more often, by": "below", "no gap of": "around zero"}
        said = headings.matched("SVD of rank 12", of)
        assert "SVD of rank 12" in said
        assert reads_well(said)
        assert [word in said for word in words] == [side(of) == where for where in words.values()]
        assert "by −" not in said
    for of in SHARES.values():
        assert reads_well(headings.misses(of))
        assert ("even number of levels" in headings.misses(of)) == of.measured


def test_which_other_families_have_a_gap_left():
    for of in SEVERAL:
        said = dyck.others_sentence(dict(zip(("SVD", "k-means"), of, strict=True)), "; verdicts on half of them")
        if not any(e.measured for e in of):
            assert said == ""
            continue
        assert flaw(said) is None, said
        assert [name in said for name in ("SVD", "k-means")] == [side(e) == "above" for e in of]
        assert ("none clearly has" in said) == ("above" not in [side(e) for e in of])
        small = [f"{name} (less than 1 point)" in said for name in ("SVD", "k-means")]
        assert small == [side(e) == "above" and e.value < RULES.margins.gap for e in of]
        assert said.endswith("That is over all models; verdicts on half of them.")
    assert "one-hot (less than 1 point) clearly has a gap" in dyck.others_sentence({"one-hot": estimate(0.002, 0.008)}, "")


def test_the_heading_on_what_helps():
    for same, finer in product(([], [nothing()], [ABOVE, AROUND, nothing()], [BELOW] * 3), repeat=2):
        said = headings.helps(same, finer)
        assert reads_well(said)
        for what, of in (("ore", finer), ("ther", same)):
            known = [side(gain) for gain in of if gain.measured]
            found = re.search(rf"{what} directions(?: help)? in (\w+) of (\d) cases", said)
            assert (found and found.groups()) == ((str(known.count("above") or "none"), str(len(known))) if known else None)
        assert ("not measured" in said) == (said.count("directions help in") != 1)


def test_headings_on_other_models_and_other_sentences():
    said = headings.elsewhere({"one": [GAP, EQUAL], "another": [UNDECIDED], "third": [OPPOSITE]})
    assert said == "A drop at the edge of training shows in 1 of 3 studies"
    assert " in none of 1 stud" in headings.elsewhere({"one": [EQUAL]})
    for a, b in SEVERAL:
        said = headings.widest("SVD of rank 12", {"longer sentences": a, "deeper sentences": b})
        assert reads_well(said)
        clear = [of for of in (a, b) if side(of) == "above"]
        assert ("The largest gap of SVD of rank 12 is that of" in said) == bool(clear)
    larger = headings.widest("one-hot", {"longer sentences": ABOVE, "deeper sentences": estimate(0.3, 0.4)})
    assert larger == "The largest gap of one-hot is that of deeper sentences: 35.0 points"


def test_headings_on_families():
    for of in SEVERAL:
        named = dict(zip(("SVD", "k-means"), of, strict=True))
        sides, measured = [side(e) for e in of], any(e.measured for e in of)
        levels = dict(zip((0.55, 0.65), of, strict=True))
        said = headings.compared(levels)
        assert reads_well(said), said
        assert (f"promise of {prose.span([k for k, e in levels.items() if e.measured])}, " if measured else "cannot") in said
        assert ("the SVD keeps more at" in said, "k-means keeps more at" in said) == ("above" in sides, "below" in sides)
        assert ("cannot be compared" in said) == (not measured)
        said = headings.line(named)
        assert reads_well(said), said
        assert [f" {word}" in said.replace("no family clearly keeps more or less", "") for word in ("more", "less")] == [
            "above" in sides, "below" in sides,
        ]  # fmt: skip
        assert ("no family clearly keeps" in said) == (measured and not {"above", "below"} & {*sides})
        said = headings.bases(dict(zip((2, 4), of, strict=True)))
        assert reads_well(said), said
        assert ("agrees more often at rank" in said) == ("above" in sides)
        said = headings.dropped(named, [])
        assert reads_well(said), said
        assert ("is dropped fail more often, with" in said) == ("above" in sides)
        said = headings.dropped(named, list(named))
        assert reads_well(said), said
        assert said.startswith("SVD and k-means drop less in deeper sentences")
        assert ("those that lose more fail more often" in said) == ("above" in sides)
        assert headings.dropped(named, ["SVD"]).startswith("SVD drops less")
        for heading, word in ((headings.oracle, "no picture clearly gains"), (headings.controls, "no gap can be told")):
            said = heading(named)
            assert reads_well(said), said
            assert (word in said) == (measured and "above" not in sides)
            assert all((name in said) == (side(e) == "above") for name, e in named.items())


# Code


def against(of: Estimate) -> str:
    """How often the model is right, in words, against the n-gram model."""
    return {
        "above": f"{prose.points(of)} points more than the n-gram model",
        "below": f"{prose.points(of.scaled(-1))} points less than the n-gram model",
        "around zero": f"not clearly more or less than the n-gram model ({prose.points(of, sign=True)} points)",
        "not measured": "which cannot be compared with the n-gram model",
    }[side(of)]


def test_how_well_a_code_model_learned():
    for of in every(SHARES, OUTCOMES, SHARES, FEW):
        said = seen(code.learned("C and Java", *of))
        assert flaw(said) is None, said
        inside, outside = (seen(prose.share(e)) for e in (of[0], of[2]))
        assert f"The model predicts {inside} of characters in its own language, {against(of[1])};" in said
        assert f"(C and Java) {outside} on average, {against(of[3])}." in said
        assert ("as a demonstration" in said) == (side(of[1]) == "below")
        heading = code.learned_heading(of[0], of[1])
        assert reads_well(heading)
        words = {", more than an n-gram": "above", ", less than an n-gram": "below", "not clearly more": "around zero"}
        assert [word in heading for word in words] == [side(of[1]) == where for where in words.values()]


def test_how_faithful_pictures_are():
    for inside, first, second in every(SHARES, OUTCOMES, FEW):
        gaps = {"one-hot": first, "SVD": second}
        said = seen(code.faithful_sentence(dict.fromkeys(gaps, inside), gaps))
        assert flaw(said) is None, said
        assert f"agreement is {seen(prose.share(inside))} with one-hot and {seen(prose.share(inside))} with SVD." in said
        words = {"In other languages it is less with": "above", "In other languages it is more with": "below"}
        words["No clear difference can be told with"] = "around zero"
        for label, gap in gaps.items():
            named = [where for word, where in words.items() if label in (re.search(rf"{word} (.*?)\.( |$)", said) or [""])[0]]
            assert named == [side(gap) if gap.measured else "around zero"]
        assert "(by −" not in said, "twenty more, not minus twenty more"


def test_one_picture_of_code():
    for of in every(SHARES, OUTCOMES):
        sides = [side(of[1]) == where for where in ("above", "below")]
        picture = code.picture_sentence("one-hot", "Python", *of)
        assert flaw(picture) is None, picture
        assert ["it loses" in picture, "it gains" in picture] == sides
        heading = code.gap_heading("one-hot", of[1])
        assert reads_well(heading)
        assert ["one-hot loses" in heading, "one-hot gains" in heading] == sides
        assert "−" not in heading


def test_language_and_domain():
    for of in every(OUTCOMES, OUTCOMES):
        said = code.domain_sentence("SVD of rank 2", "Python", *of, 140)
        assert flaw(said) is None, said
        assert f"loses {prose.difference(of[0])} of agreement" in said
        assert f"it loses {prose.difference(of[1])}." in said
        heading = code.domain_heading(*of)
        assert reads_well(heading), heading
        told = [side(e) for e in of]
        if "not measured" in told:
            assert heading.endswith("Left open here")
            continue
        assert heading.lower().count("costs agreement") == told.count("above") + (not {"above", "below"} & {*told})
        assert heading.count("gains agreement") == told.count("below")


def test_words():
    for of in every(OUTCOMES, OUTCOMES):
        repeated, new = of
        said = code.words_sentence("SVD of rank 2", repeated, new, difference := repeated - new)
        assert flaw(said) is None, said
        words = {"larger": "above", "smaller": "below", "not clearly": "around zero", "not comparable": "not measured"}
        assert [word in said for word in words] == [side(difference) == where for where in words.values()]
        heading = code.words_heading("SVD of rank 2", difference)
        assert reads_well(heading)
        words = {"is larger": "above", "is smaller": "below", "cannot be told": "around zero", "cannot be c": "not measured"}
        assert ("SVD of rank 2" in heading) == difference.measured
        assert [word in heading for word in words] == [side(difference) == where for where in words.values()]


def test_the_gap_where_the_model_is_equally_certain():
    for of in OUTCOMES.values():
        said = code.margins_sentence("SVD of rank 2", of)
        assert flaw(said) is None, said
        words = {"still has a gap": "above", "more often": "below", "can be told": "around zero", "too little": "not measured"}
        assert [word in said for word in words] == [side(of) == where for where in words.values()]


def test_words_at_equal_agreement():
    for of in every(OUTCOMES, OUTCOMES):
        differences = dict(zip(("SVD", "k-means"), of, strict=True))
        said = code.equal_words_sentence(0.9, differences)
        assert flaw(said) is None, said
        assert said.startswith(
            "Where a family agrees with the model in 90 % of cases on either kind of word in its own language"
        )
        texts = {"above": "is larger on", "below": "is smaller on", "around zero": "not clearly", "not measured": "cannot be"}
        parts = {name: "".join(part for part in said.split("; ") if text in part) for name, text in texts.items()}
        for label, difference in differences.items():
            assert [name for name, part in parts.items() if label in part] == [side(difference)]
            sized = {"above": difference, "below": difference.scaled(-1)}.get(side(difference))
            assert sized is None or f"{label} (by {prose.difference(sized)})" in said
    assert code.equal_words_sentence(0.9, {}) == ""


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        ("above", ""),
        ("below", "less often than a 6-gram model that was counted on all training text, by 20.0 [10.0, 30.0] points; it made "
         "2.5 passes over that text. Read its gaps as a demonstration."),
        ("around zero", "(−10.0 [−30.0, +10.0] points)."),
        ("zero", "(0.0 [0.0, 0.0] points)."),
        ("one seed", ""),
        ("one of three seeds", "(+20.0 points)."),
        ("not measured", ""),
    ],
)  # fmt: skip
def test_a_model_that_is_no_better_than_local_statistics_is_called_weak(outcome, says):
    said = seen(code.weak_sentence(OUTCOMES[outcome], 2.46))
    assert said.endswith(says)
    assert bool(said) == bool(says)
    assert said == "" or flaw(said) is None
    unclear = bool(said) and outcome != "below"
    assert said.startswith("That this model is right more often than a 6-gram model is not clear (") == unclear


@pytest.mark.parametrize(
    ("passes", "says"), [(0.01, "fewer than 0.1"), (0.05, "0.1"), (0.94, "0.9"), (12.0, "12.0"), (123.4, "123.4")]
)
def test_passes_over_the_training_text_are_never_none(passes, says):
    assert f"it made {says} passes over that text" in code.weak_sentence(BELOW, passes)


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
            said = code.foreseen_sentence(known, "margin", lost, 1 + len(lost))
            assert flaw(said) is None, said
            if not known:
                assert said == "Nothing could be foreseen: too few characters were predicted."
                continue
            listed = " and ".join(f"{prose.difference(error)} by `{name}`" for name, error in known.items())
            assert f"is foreseen with an error of {listed}: model by model" in said
            assert f"over the {1 + len(lost)} picture{'s' * bool(lost)} above" in said
            further = {0: "", 1: " For SVD of rank 2, the margin errs more than expecting no gap."}
            further[2] = " For SVD of rank 2 and one-hot, the margin errs more than expecting no gap."
            assert said.endswith(further[len(lost)])
            assert ("errs more" in said) == bool(lost)


def test_code_on_the_first_page():
    for first, second, better in every(FEW, FEW, OUTCOMES):
        said = code.first_page_sentence("Python", {"SVD": first, "one-hot": second}, better)
        assert flaw(said) is None, said
        known = {name: of for name, of in (("SVD", first), ("one-hot", second)) if of.measured}
        less = prose.names(name for name, of in known.items() if side(of) == "above")
        assert (f"Of {len(known)} families of pictures, {less} agree" in said) == bool(known)
        assert ("this is a demonstration" in said, "is not clear" in said) == (
            side(better) == "below", side(better) == "around zero",
        )  # fmt: skip


def test_languages_that_were_trained_on():
    assert flaw(code.training_languages_sentence(["Python (code)", "Java (code-java)"])) is None
    alone = code.training_languages_sentence(["Python (code)"])
    assert flaw(alone) is None
    assert "on Python (code) alone" in alone


def test_the_heading_on_what_was_foreseen():
    assert code.foreseen_heading("margin", None, None).startswith("Too little")
    for error, baseline in every(OUTCOMES, OUTCOMES):
        said = code.foreseen_heading("margin", error, baseline)
        assert reads_well(said)
        words = {"foresees the gap better": "above", "is better than": "below", "cannot be told": "around zero"}
        assert [word in said for word in words] == [side(baseline - error) == where for where in words.values()]


def test_heads_that_copy():
    said = code.heads_sentence([0.011, 0.5], [0.3, 0.25], 0.0109, 0.2)
    assert flaw(said) is None
    assert "of a head is 0.01 to 0.50 (0.01 if attention" in said
    assert "score 0.25 to 0.30. From 0.2 on" in said
    assert "of a head is 0.01 (" in code.heads_sentence([0.011, 0.012], [0.3], 0.0109, 0.2)
    headings_of = {0: "No head of 3 does induction", 1: "1 head of 3 does induction", 2: "2 heads of 3 do induction"}
    for count, heading in headings_of.items():
        assert code.heads_heading([0.9] * count + [0.1] * (3 - count), 0.2) == heading
        assert reads_well(heading)


@pytest.mark.parametrize("module", [dyck, headings, promises, code])
def test_every_sentence_is_tested_here(module):
    tested: list[Callable] = [
        dyck.learned, dyck.gap_sentence, dyck.better_sentence, dyck.attention_sentence, promises.comparison_sentence,
        promises.dropped_sentence, promises.random_sentence, promises.line_sentence,
        promises.bases_sentence, promises.oracle_sentence,
        dyck.occurrence_sentence, dyck.boundary_sentence, dyck.decomposition_sentence, dyck.mix_sentence, dyck.misses_sentence,
        dyck.helps_sentence, dyck.matched_sentence, dyck.settings_sentence, dyck.picture_sentence, dyck.finest_sentence,
        dyck.others_sentence, promises.diagonal_sentence, promises.less_dropped_sentence,
        headings.size, headings.learned, headings.deeper, headings.boundary, headings.matched, headings.misses, headings.helps,
        headings._gained, headings.elsewhere, headings.widest, headings.compared, headings.line, headings.bases,
        headings.dropped, headings.oracle, headings.controls,
        code.learned, code._against, code.faithful_sentence, code.picture_sentence, code.domain_sentence, code.words_sentence,
        code.margins_sentence, code.equal_words_sentence, code.weak_sentence, code.foreseen_sentence, code.heads_sentence,
        code.learned_heading, code.gap_heading, code.domain_heading, code.words_heading, code.heads_heading,
        code.foreseen_heading, code._range, code.first_page_sentence, code.training_languages_sentence,
    ]  # fmt: skip
    defined = [of for of in vars(module).values() if callable(of) and getattr(of, "__module__", "") == module.__name__]
    assert defined
    assert set(defined) <= set(tested)
