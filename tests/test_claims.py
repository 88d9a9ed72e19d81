"""Cells, what they come to, and how they are shown: as text, JSON and a scorecard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import copy
from dataclasses import replace

import numpy as np
import pytest
from planted import estimate

from lib import answers, claims
from lib.chapters.scorecard import Scorecard
from lib.claims import Cell
from lib.cli import main
from lib.foreseeing import KNOWN
from lib.matrices import TINTS
from lib.measuring.intervals import Estimate, nothing
from lib.presets import load
from lib.rules import EQUAL, GAP, NOT_APPLICABLE, OPPOSITE, RULES, UNDECIDED, VERDICTS, Claim
from lib.studies import Study

PLAIN = Claim(number=7, task="dyck", text="All of <it> & more", paper="", proxies="all", splits=("unseen",))
WORDED = Claim(**{**dict(PLAIN), "number": 8, "text": "Any of it", "positive": "better", "negative": "worse"})
EFFECTS = {
    GAP: estimate(0.1, 0.3),
    OPPOSITE: estimate(-0.3, -0.1),
    EQUAL: estimate(-0.01, 0.01),
    UNDECIDED: estimate(-0.1, 0.1),
    NOT_APPLICABLE: None,
}

SMALL_GAP = estimate(0.011, 0.019)
HARDLY = estimate(0.01, 0.3)  # a gap, but not at a confidence for several cells


def cell(effect: Estimate | None = EFFECTS[GAP], claim: Claim = PLAIN, **changes) -> Cell:
    usual = Cell(claim, "A", "svd", "SVD, rank 2", "unseen_depth", "iid", (0, 1, 2), effect, "why")
    return replace(usual, **changes)


# A cell


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_cell_has_the_verdict_of_its_effect_in_the_words_of_its_claim(verdict):
    assert cell(EFFECTS[verdict]).verdict == verdict
    assert cell(EFFECTS[verdict], WORDED).word == RULES.word(WORDED, verdict)
    assert cell(EFFECTS[verdict], applies=False).verdict == NOT_APPLICABLE


def test_a_cell_as_plain_values_is_in_percentage_points():
    plain = cell(foreseen=estimate(0.1, 0.2)).plain()
    assert plain.pop("interval") == pytest.approx([10, 30])
    assert plain.pop("effect") == pytest.approx(20)
    assert plain.pop("foreseen") == pytest.approx(15)
    assert plain == {
        "claim": 7, "reading": "A", "proxy": "svd", "setting": "SVD, rank 2", "split": "unseen_depth", "reference": "iid",
        "seeds": [0, 1, 2], "verdict": GAP, "reason": "why",
    }  # fmt: skip


def test_a_small_gap_is_called_so_and_stays_a_gap_for_machines():
    small, equal = cell(SMALL_GAP, WORDED), cell(EFFECTS[EQUAL])
    assert (small.word, small.plain()["verdict"]) == ("better, small", GAP)
    assert (equal.word, equal.plain()["verdict"]) == ("within 2 points", EQUAL)
    assert cell(SMALL_GAP, WORDED, applies=False).word == NOT_APPLICABLE


@pytest.mark.parametrize("effect", [None, nothing()])
def test_what_was_not_measured_is_null(effect):
    plain = cell(effect, foreseen=nothing()).plain()
    assert [plain[name] for name in ("effect", "interval", "foreseen", "verdict")] == [None, None, None, NOT_APPLICABLE]


def test_json_has_no_number_that_is_none():
    """An effect of one seed of three has no interval."""
    plain = cell(Estimate(np.array([0.1, np.nan, np.nan]))).plain()
    assert (plain["effect"], plain["interval"], plain["verdict"]) == (pytest.approx(10), None, UNDECIDED)
    json.dumps(plain, allow_nan=False)


@pytest.mark.parametrize(
    ("of", "note"),
    [
        pytest.param(cell(), "why", id="enough"),
        pytest.param(cell(estimate(1, 2, seeds=2)), "why; measured in 2 seeds, a verdict needs 3", id="two seeds"),
        pytest.param(cell(estimate(1, 2, seeds=1), reason=""), "measured in 1 seed, a verdict needs 3", id="one seed"),
        pytest.param(
            cell(Estimate(np.array([1, 1, 1, np.nan])), seeds=(0, 1, 2, 3)), "why; measured in 3 of 4 seeds", id="one lacks it"
        ),
        pytest.param(cell(nothing()), "why", id="nothing"),
        pytest.param(cell(estimate(1, 2, seeds=2), applies=False), "why; measured in 2 of 3 seeds", id="not applicable"),
    ],
)
def test_a_cell_says_where_seeds_are_too_few(of, note):
    assert of.note == note
    assert of.plain()["reason"] == note


def test_the_error_of_what_was_foreseen_is_foreseen_less_measured():
    assert cell(foreseen=estimate(0.1, 0.2)).error.value == pytest.approx(0.15 - 0.2)
    for without in (cell(), cell(None, foreseen=estimate(0, 1)), cell(foreseen=nothing())):
        assert without.error is None


# What cells come to


def on(split: str, *effects: Estimate | None, claim: Claim = PLAIN, **changes) -> list[Cell]:
    return [cell(effect, claim, split=split, reason=f"why {i}", **changes) for i, effect in enumerate(effects)]


MANY = [
    *on("near", *[EFFECTS[GAP]] * 3, EFFECTS[EQUAL], EFFECTS[UNDECIDED], None),
    *on("far", EFFECTS[OPPOSITE], SMALL_GAP, EFFECTS[UNDECIDED], EFFECTS[UNDECIDED]),
]


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (MANY, "near: gap in 3 of 5 (1 within 2 points, 1 undecided); far: 1 of 4 (1 of them small, 1 closer, 2 undecided) "
               "[also with intervals corrected for 9 cells: 1 of 4]; 1 not applicable"),
        (on("near", EFFECTS[GAP], EFFECTS[OPPOSITE], claim=WORDED),
         "near: better in 1 of 2 (1 worse) [also with intervals corrected for 2 cells: 1 of 1]"),
        (on("near", EFFECTS[GAP]), "near: gap in 1 of 1"),
        (on("near", EFFECTS[UNDECIDED]), "near: gap in 0 of 1 (1 undecided)"),
        (on("near", EFFECTS[UNDECIDED], EFFECTS[OPPOSITE]), "near: gap in 0 of 2 (1 closer, 1 undecided)"),
        (on("near", EFFECTS[GAP], None), "near: gap in 1 of 1; 1 not applicable"),
        (on("near", None, None) + on("far", EFFECTS[GAP]), "near: not applicable; far: gap in 1 of 1; 2 not applicable"),
        (on("near", None) + on("far", EFFECTS[GAP]), "near: not applicable (why 0); far: gap in 1 of 1; 1 not applicable"),
        (on("near", None, None), "there is nothing to test it on (2 not applicable)"),
        (on("near", None), "there is nothing to test it on (why 0)"),
        ([], "there is nothing to test it on"),
    ],
)  # fmt: skip
def test_an_answer_counts_split_by_split_whatever_comes_out(cells, said):
    claim = cells[0].claim if cells else PLAIN
    assert answers.answer(claim, cells) == said


def test_an_answer_names_splits_as_figures_do_and_in_b_what_they_are_held_against():
    cells = [cell(reading="B", reference=of) for of in ("iid_matched", "iid")] + [cell(EFFECTS[EQUAL], reading="B")]
    said = answers.answer(PLAIN, cells, str.upper)
    assert said.startswith("UNSEEN_DEPTH against iid_matched: gap in 1 of 1; UNSEEN_DEPTH against iid: 1 of 2 (1 within 2")
    levels = [cell(reading="C", level=level) for level in (0.8, 0.9)]
    assert answers.answer(PLAIN, levels).startswith("unseen_depth: gap in 2 of 2")


@pytest.mark.parametrize(("others", "holds"), [(0, True), (1, False), (11, False)])
def test_a_cell_that_chance_could_have_brought_about_among_many_is_not_confirmed(others, holds):
    """Alone its interval excludes zero; corrected for two cells it does not. What does not apply is not counted."""
    cells = [cell(HARDLY), *[cell(EFFECTS[EQUAL])] * others, *[cell(None)] * 5, *[cell(applies=False)] * 5]
    assert claims.confirmed(cells) == ([cells[0]] if holds else [])
    assert len(claims.applying(cells)) == 1 + others


def test_what_is_clear_is_confirmed_and_what_is_not_as_claimed_never():
    clear, near_zero = estimate(0.19, 0.21), estimate(0.0099, 0.0101)
    assert len(claims.confirmed([cell(clear)] * 12)) == 12
    assert claims.confirmed([cell(EFFECTS[OPPOSITE]), cell(EFFECTS[UNDECIDED]), cell(near_zero - 0.001)]) == []


def test_the_answer_of_a_claim_is_that_of_reading_a_with_both_halves_told_apart():
    cells = [cell(), cell(reading="B"), cell(EFFECTS[EQUAL], decides=False)]
    assert answers.answers(PLAIN, cells) == (
        "unseen_depth: gap in 1 of 1; on the seeds that settings were chosen on: "
        "unseen_depth: gap in 0 of 1 (1 within 2 points)"
    )
    assert answers.answers(PLAIN, cells[:2]) == "unseen_depth: gap in 1 of 1"
    assert answers.both_answers(PLAIN, cells[:2])[1:] == ["matched: unseen_depth against iid: gap in 1 of 1"]
    assert len(answers.both_answers(PLAIN, cells[:1])) == 1
    assert answers.answers(PLAIN, cells, "C") == ""


FOUND = [
    cell(claim=WORDED, reading="B", reference="iid at the same depth"),
    cell(claim=WORDED, decides=False),
    cell(EFFECTS[OPPOSITE], split="one that <script>", reason='because "<b>'),
    cell(None, WORDED, reason="nobody knows"),
    cell(claim=WORDED, foreseen=estimate(0.1, 0.2)),
]


def test_cells_as_text_stand_under_their_claim_reading_by_reading():
    measured = "   A  better            +20.0 [+10.0, +30.0]    SVD, rank 2                     unseen_depth against"
    there = "unseen_depth: better in 1 of 1"
    assert answers.to_text(FOUND).splitlines() == [
        "7. All of <it> & more",
        "   one that <script>: gap in 0 of 1 (1 closer)",
        "   A  closer            −20.0 [−30.0, −10.0]    SVD, rank 2                     one that <script> against iid",
        "",
        "8. Any of it",
        f"   {there}; 1 not applicable; on the seeds that settings were chosen on: {there}",
        "   matched: unseen_depth against iid at the same depth: better in 1 of 1",
        f"   A  not applicable    {'':<24}SVD, rank 2                     unseen_depth against iid",
        f"{measured} iid",
        f"{measured} iid (seeds 0, 1, 2)",
        f"{measured.replace('A', 'B', 1)} iid at the same depth",
    ]
    assert answers.to_text([]) == ""


# The command line and the scorecard


@pytest.fixture(scope="module")
def study(tiny, tiny_artifacts) -> Study:
    """Two seeds, which is too few for a verdict."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(tiny_artifacts))
        return load(tiny).study("dyck")


@pytest.fixture(scope="module")
def card_of(study) -> Callable[[list[Cell]], Scorecard]:
    """A function that makes a scorecard of the study with cells of its own."""
    whole = Scorecard([study])

    def make(cells: list[Cell]) -> Scorecard:
        card = copy(whole)
        card.cells = {study.name: cells}
        return card

    return make


def test_every_claim_is_tested_on_the_command_line(study, tiny, tiny_artifacts, monkeypatch, capsys):
    monkeypatch.setenv("LIB_ARTIFACTS", str(tiny_artifacts))
    assert main(["claims", "--preset", tiny, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = study.task.findings(study)
    assert {cell.claim.number for cell in found} == {1, 2, 3, 4}
    assert printed == json.loads(json.dumps([{"task": "dyck", **cell.plain()} for cell in found]))
    assert {one["verdict"] for one in printed} <= {UNDECIDED, NOT_APPLICABLE}
    assert all(one["reason"] for one in printed)
    assert main(["claims", "--preset", tiny, "--task", "dyck"]) == 0
    title, rest = capsys.readouterr().out.split("\n\n", 1)
    assert title == "dyck, preset tiny, 2 seeds; effects in percentage points with 95 % intervals"
    assert rest == f"{answers.to_text(found)}\n\n"


def text_of(html: str) -> str:
    """What is read, each element on a line of its own."""
    return "\n".join(" ".join(part.split()) for part in re.split(r"<[^>]*>", html.partition("</style>")[2]) if part.strip())


def test_the_scorecard_opens_with_how_each_claim_fares_and_beside_it_matched(card_of, study):
    html = card_of(FOUND).answers()
    assert text_of(html).splitlines() == [
        "7. All of &lt;it&gt; &amp; more", claims.READINGS["A"], study.name, "▼", "closer", "gap in none of 1 cell",
        "8. Any of it", claims.READINGS["A"], claims.READINGS["B"], study.name, "▲", "better",
        "better in 1 of 1 cell; 1 more not applicable", "▲", "better", "better in 1 of 1 cell",
    ]  # fmt: skip
    assert 'id="claim-7"' in html
    several = Scorecard([study, replace(study, name="other")])
    for name in ("dyck", "other"):
        assert several.answers().count(f'<th scope="row">{name}</th>') == 4


def test_the_first_page_has_a_line_a_claim_that_leads_to_its_place(card_of):
    card = card_of(FOUND)
    lines = re.findall(r'<li><a href="scorecard.html#(claim-\d)">(.*?)</a> <small>(.*?)</small> (.*?)</li>', card.strip())
    assert [line[:2] for line in lines] == [("claim-7", "All of &lt;it&gt; &amp; more"), ("claim-8", "Any of it")]
    assert [re.sub("<[^>]*>", "", line[3]) for line in lines] == ["▼ closer", "▲ better"]
    assert [line[2] for line in lines] == ["dyck: gap in none of 1 cell", "dyck: better in 1 of 1 cell; 1 more not applicable"]
    assert all(f'id="{where}"' in card.answers() for where, *_ in lines)
    assert card.heading() == "## Of 2 claims, 1 is borne out in some study"
    assert all(claim.short for claim in RULES.claims), "in a few words"


@pytest.mark.parametrize(
    ("verdicts", "expected", "count"),
    [
        ([], NOT_APPLICABLE, "nothing to test it on"),
        ([NOT_APPLICABLE] * 2, NOT_APPLICABLE, "nothing to test it on: why"),
        ([GAP], GAP, "better in 1 of 1 cell"),
        ([GAP, GAP, EQUAL], GAP, "better in 2 of 3 cells, 2 once corrected for their number"),
        ([OPPOSITE, OPPOSITE], OPPOSITE, "better in none of 2 cells"),
        ([OPPOSITE, EQUAL], answers.NONE, "better in none of 2 cells"),
        ([EQUAL, EQUAL, NOT_APPLICABLE], EQUAL, "better in none of 2 cells; 1 more not applicable"),
        ([OPPOSITE, UNDECIDED], UNDECIDED, "better in none of 2 cells"),
    ],
)
def test_what_the_cells_of_a_claim_come_to_in_a_word(verdicts, expected, count):
    assert answers.tally(WORDED, [cell(EFFECTS[verdict], WORDED) for verdict in verdicts]) == (expected, count)


def test_it_is_said_where_verdicts_rest_on_some_models_alone():
    assert [answers.rests_on(seeds) for seeds in (1, 5, 10)] == ["1 seed", "5 seeds", "10 seeds, of which 5 decide"]


def test_what_does_not_hold_for_the_number_of_cells_is_undecided():
    hardly = estimate(0.01, 0.3)
    cells = [cell(hardly, WORDED), *(cell(EFFECTS[EQUAL], WORDED) for _ in range(9))]
    found = (UNDECIDED, "better in 1 of 10 cells, none once corrected for their number")
    assert answers.tally(WORDED, cells) == found


def test_the_top_says_what_readings_are_and_what_boxes_look_like(card_of):
    lines = text_of(card_of(FOUND).legend()).splitlines()
    said = "\n".join(lines)
    for reading, name in claims.READINGS.items():
        assert f"{reading}\n, {name}: " in said
    for tint, word in zip(
        TINTS.values(), ("gap: ", "closer: ", "within 2 points", "no such case", "undecided", "not applicable"), strict=True
    ):
        assert lines[lines.index(tint.sign) + 1].startswith(word)


def boxes(html: str) -> list[tuple[str, str]]:
    """The text and the tooltip of each box."""
    found = re.findall(r'<div class="verdict(?: quiet)?" style="[^"]*" title="([^"]*)">(.*?)</div>', html)
    return [(" ".join(re.sub(r"<[^>]*>", " ", text).split()), title) for title, text in found]


def test_a_matrix_has_a_row_a_family_and_a_column_a_split(study, card_of):
    cells = [cell(proxy=p, split=x) for p in ("svd", "kmeans") for x in ("unseen_depth", "unseen_length", "words")]
    cells[1] = replace(cells[1], setting="SVD, rank 4")
    html = card_of(cells[:-1]).matrices("A")
    called = [study.task.look(split).label for split in ("unseen_depth", "unseen_length")]
    assert re.findall(r'<th scope="col">(.*?)<small>', html) == [*called, "words"]
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', html)
    assert [head for head, _ in rows] == ["SVD", "k-means<small>SVD, rank 2</small>"], "a setting, if there is but one"
    inside = [replace(of, agreement=0.934) for of in cells]
    assert "k-means<small>SVD, rank 2</small><small>93.4 % in distribution</small>" in card_of(inside).matrices("A")
    inside[-1] = replace(inside[-1], agreement=0.5)
    assert "k-means<small>SVD, rank 2</small></th>" in card_of(inside).matrices("A"), "if it is one"
    assert [len(re.findall("<td>(.+?)</td>", row)) for _, row in rows] == [3, 2], "what was not tested is empty"


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_box_says_its_verdict_in_a_word_and_by_a_sign_never_by_colour_alone(card_of, verdict):
    ((text, tooltip),) = boxes(card_of([cell(EFFECTS[verdict], WORDED)]).matrices("A"))
    sign, _, rest = text.partition(" ")
    assert sign == TINTS[verdict].sign
    assert rest.startswith(RULES.word(WORDED, verdict))
    assert tooltip.startswith("SVD, rank 2; ")
    assert tooltip.endswith("; unseen_depth against iid; why")
    if verdict == GAP:
        assert rest == "better +20.0 [+10.0, +30.0]"
        assert "; +20.0 [+10.0, +30.0] points; " in tooltip


def test_no_number_stands_where_a_verdict_is_not_applicable(card_of):
    ((text, tooltip),) = boxes(card_of([cell(applies=False)]).matrices("A"))
    assert text == "– not applicable"
    assert "+20.0" in tooltip, "it is there for whoever looks"


def test_at_equal_agreement_there_is_a_box_a_level(card_of):
    levels = [cell(EFFECTS[v], reading="C", level=level) for v, level in ((NOT_APPLICABLE, 0.8), (GAP, 0.95))]
    html = card_of(levels).matrices("C")
    assert [text for text, _ in boxes(html)] == ["80 % – not applicable", "95 % ▲ gap +20.0 [+10.0, +30.0]"]
    nowhere = [cell(None, reading="C", level=level, reason="too few") for level in (0.8, 0.95)]
    assert [text for text, _ in boxes(card_of(nowhere).matrices("C"))] == ["– not applicable"]


def test_references_are_columns_of_their_own(study, card_of):
    cells = [cell(reading="B", reference=of) for of in ("iid_matched", "iid at the same depth")]
    html = card_of([*cells, cell(EFFECTS[EQUAL], reading="B", decides=False)]).matrices("B")
    matched, inside = (study.task.look(split).label for split in ("iid_matched", "iid"))
    assert re.findall(r"<small>against (.*?)</small>", html) == [matched, f"{inside} at the same depth"]
    assert len(boxes(html)) == 2, "what is on the seeds of choosing is in the table alone"


@pytest.mark.parametrize(("reading", "folded"), [("A", 0), ("B", 2), ("C", 2)])
def test_matrices_of_b_and_c_are_folded_under_what_they_come_to(card_of, reading, folded):
    html = card_of([cell(reading=reading), cell(claim=WORDED, reading=reading)]).matrices(reading)
    titles = re.findall(r"<details><summary>(.*?)</summary><div class=\"scroll\"", html)
    assert len(titles) == html.count("<details") == folded
    assert all(title.endswith(f": {w} in 1 of 1 cell") for title, w in zip(titles, ("gap", "better"), strict=False))


def test_no_colour_says_good_or_bad():
    assert TINTS[EQUAL].background == "#DCDCDC"
    assert TINTS[UNDECIDED].background == TINTS[NOT_APPLICABLE].background == "#FFFFFF"
    assert [verdict for verdict, tint in TINTS.items() if tint.border == "dashed"] == [NOT_APPLICABLE]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


@pytest.mark.parametrize("verdict", VERDICTS)
def test_text_on_its_colour_is_legible(verdict):
    light, dark = sorted((luminance(TINTS[verdict].background), luminance(TINTS[verdict].text)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_all_numbers_are_in_a_folded_table_and_everything_is_escaped(card_of):
    card = card_of(FOUND)
    html = card.numbers()
    assert html.count("<details>") == 1
    assert html.count("<tr>") == 1 + len(FOUND)
    for shown in ("one that &lt;script&gt;", "because &quot;&lt;b&gt;", "−20.0 [−30.0, −10.0]", "<td>+15.0</td><td>−5.0</td>"):
        assert shown in html
    whole = "".join([card.legend(), card.answers(), *map(card.matrices, claims.READINGS), card.numbers(), card.counts()])
    assert "<script" not in whole
    assert "<b>." not in whole
    assert whole.count('class="scroll') == 2 + 2 + 1 + 2, "of two claims, two matrices of A, one of B, two tables"


def test_what_was_foreseen_is_said_with_its_error_and_the_baseline(card_of):
    cells = [cell(foreseen=estimate(0.1, 0.2)), cell(EFFECTS[OPPOSITE], foreseen=estimate(0.1, 0.1))]
    others = [cell(reading="C"), cell(applies=False, foreseen=estimate(5, 5)), cell(decides=False, foreseen=estimate(5, 5))]
    said = card_of([*cells, *others]).foreseen()
    assert said.startswith(f"By the {DIAGNOSTIC}, from {KNOWN}. Counted are the cells of reading A")
    assert (
        "2 cells: the effect foreseen was 12.5 points on average, and the one measured 0.0. Signs aside, the error is " in said
    )
    assert said.endswith("17.5 points on average; expecting no effect errs by 20.0.")
    assert "in no cell of reading A" in card_of(others).foreseen()
    assert KNOWN == "in-distribution measurements, the other text and the model on it"
    assert f"foreseen from {KNOWN}: +15.0;" in card_of(cells).matrices("A")


DIAGNOSTIC = RULES.foreseeing.diagnostic


def test_the_scorecard_says_how_verdicts_are_made_and_how_far_to_trust_them(study):
    said = Scorecard([study, replace(study, name="other")]).method()
    for part in (
        "`seen_structure` (Dyck)", "at least 90 % of cases", "80 %, 90 %, 95 % and 99 %", "at least 1 point:", "than 2 points",
        "fewer than 3 seeds", "dyck: settings are chosen and effects measured on the same 2 seeds", "“loses more”",
        "other: over 2 seeds, each with its own sequences.", "`iid` (Dyck)", "1 − 0.05 / m", "“within 2 points”",
        "“small” is added", "Claim 2 says what the model does", "fewer than 75 % right",
    ):  # fmt: skip
        assert part in said
    one = Scorecard([replace(study, seeds=1)]).method()
    assert "over the sequences of one seed" in one
    for text in (said, one):
        assert text.endswith(".")
        assert not re.search(r"nan|  |\.\.", text)


def test_a_table_counts_intervals_apart_from_zero_and_how_many_would_be_by_chance(card_of):
    cells = [cell()] * 30 + [cell(EFFECTS[EQUAL])] * 9 + [cell(EFFECTS[OPPOSITE])] + [cell(None)] * 5 + [cell(decides=False)]
    html = card_of([*cells, cell(applies=False), cell(reading="C")]).counts()
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(<td>.*?)</tr>", html)]
    assert rows == [
        ["dyck", "A", "40", "30", "1", "1.0"], ["dyck", "B", "0", "0", "0", "0.0"], ["dyck", "C", "1", "1", "0", "0.0"],
    ]  # fmt: skip
    assert "2.5 % each" in html


def test_the_method_says_which_seeds_chose_and_which_report(study):
    ten = replace(study, seeds=10)
    ten.estimates = study.estimates_of({seed: study.estimates.blocks(seed % 2) for seed in range(10)})
    card = Scorecard([ten])
    assert "chosen on seeds 0, 1, 2, 3, 4, and verdicts rest on seeds 5, 6, 7, 8, 9." in card.method()
    assert "dyck: over 5 seeds, each" in card.method()
