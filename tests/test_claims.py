"""Verdicts follow from intervals; what is found is shown as text, HTML, JSON and a scorecard."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import matplotlib.pyplot as plt
import pytest
from planted import estimate

from lib import claims
from lib.claims import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, Claim, Finding
from lib.cli import main
from lib.measuring.intervals import nothing
from lib.presets import load
from lib.scorecard import Scorecard
from lib.studies import Study

ALL_OF_IT, ANY_OF_IT = Claim(7, "All of <it> & more"), Claim(8, "Any of it", existence=True)


# Verdicts


@pytest.mark.parametrize(
    ("effect", "verdict"),
    [
        pytest.param(estimate(1, 2), SUPPORTED, id="above zero"),
        pytest.param(estimate(-2, -1), NOT_SUPPORTED, id="below zero"),
        pytest.param(estimate(-1, 2), INCONCLUSIVE, id="around zero"),
        pytest.param(estimate(0, 0), NOT_SUPPORTED, id="zero"),
        pytest.param(estimate(1, 2, seeds=2), INCONCLUSIVE, id="two seeds"),
        pytest.param(estimate(-2, -1, seeds=2), INCONCLUSIVE, id="two seeds, below zero"),
        pytest.param(nothing(), INCONCLUSIVE, id="nothing scored"),
        pytest.param(None, INCONCLUSIVE, id="not measured"),
    ],
)
def test_a_verdict_is_where_the_interval_lies(effect, verdict):
    finding = Finding(ALL_OF_IT, "anything", effect)
    assert finding.verdict == verdict
    assert json.loads(json.dumps(finding.plain()))["verdict"] == verdict
    assert (finding.shown_effect == "not measured") == (effect is None or not effect.measured)


@pytest.mark.parametrize(
    ("claim", "effects", "verdict"),
    [
        (ALL_OF_IT, [(1, 2), (1, 2)], SUPPORTED),
        (ALL_OF_IT, [(1, 2), (-1, 2)], INCONCLUSIVE),
        (ALL_OF_IT, [(1, 2), (-1, 2), (-2, -1)], NOT_SUPPORTED),
        (ALL_OF_IT, [], INCONCLUSIVE),
        (ANY_OF_IT, [(1, 2), (-1, 2), (-2, -1)], SUPPORTED),
        (ANY_OF_IT, [(-1, 2), (-2, -1)], INCONCLUSIVE),
        (ANY_OF_IT, [(-2, -1), (-2, -1)], NOT_SUPPORTED),
        (ANY_OF_IT, [], INCONCLUSIVE),
    ],
)
def test_a_claim_holds_if_all_its_statements_do_and_an_existence_claim_if_one_does(claim, effects, verdict):
    other = ANY_OF_IT if claim == ALL_OF_IT else ALL_OF_IT
    of_others = [Finding(other, "of another claim", estimate(*effect)) for effect in ((1, 2), (-2, -1))]
    assert claim.verdict([*of_others, *(Finding(claim, "a", estimate(*effect)) for effect in effects)]) == verdict


def test_a_finding_as_plain_values_is_in_percentage_points():
    plain = Finding(ALL_OF_IT, "a", estimate(0.1, 0.3), "why").plain()
    assert plain.pop("interval") == pytest.approx([10.5, 29.5])
    assert plain == {"claim": 7, "statement": "a", "effect": 20, "seeds": 3, "verdict": SUPPORTED, "reason": "why"}
    empty = Finding(ALL_OF_IT, "a", nothing()).plain()
    assert (empty["effect"], empty["interval"], empty["seeds"]) == (None, None, 0)


@pytest.mark.parametrize(
    ("effect", "reason"),
    [
        (nothing(), "why; no position was scored"),
        (estimate(1, 2, 2), "why; 2 seed(s), but a verdict needs 3"),
        (estimate(1, 2), "why"),
    ],
)
def test_a_finding_says_where_data_are_too_few(effect, reason):
    assert claims.conclude(ALL_OF_IT, "a", effect, "why").reason == reason


FOUND = [
    Finding(ANY_OF_IT, "one that holds", estimate(0.1, 0.3), "why so"),
    Finding(ALL_OF_IT, "one that <script>", estimate(-0.3, -0.1), "because <b>"),
    Finding(ANY_OF_IT, "one nobody knows about", None),
]


def test_findings_as_text_stand_under_their_claim():
    assert claims.to_text(FOUND).splitlines() == [
        "7. All of <it> & more: NOT SUPPORTED",
        "   not supported  −20.0 [−29.5, −10.5]     one that <script>",
        f"   {'':<39} (because <b>)",
        "",
        "8. Any of it: SUPPORTED",
        "   supported      +20.0 [+10.5, +29.5]     one that holds",
        f"   {'':<39} (why so)",
        "   inconclusive   not measured             one nobody knows about",
    ]


def test_findings_as_html_are_escaped():
    html = claims.to_html(FOUND)
    for shown in ("7. All of &lt;it&gt; &amp; more: not supported", "one that &lt;script&gt;", "because &lt;b&gt;", "−20.0"):
        assert shown in html
    assert "<script" not in html
    assert html.count("<tr>") == 1 + 2 + 3  # the head, claims, findings


# The command line and the scorecard


@pytest.fixture(scope="module")
def study(tiny, tiny_artifacts) -> Study:
    """Two seeds, which is too few for a verdict."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(tiny_artifacts))
        return load(tiny).study("dyck")


def test_every_claim_is_tested_on_the_command_line(study, tiny, tiny_artifacts, monkeypatch, capsys):
    monkeypatch.setenv("LIB_ARTIFACTS", str(tiny_artifacts))
    assert main(["claims", "--preset", tiny, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = study.task.findings(study)
    assert {finding.claim.number for finding in found} == {1, 2, 3, 4}
    assert printed == [{"task": "dyck", **finding.plain()} for finding in found]
    assert all(finding.reason for finding in found)
    assert main(["claims", "--preset", tiny, "--task", "dyck"]) == 0
    title, rest = capsys.readouterr().out.split("\n\n", 1)
    assert title == "dyck, preset tiny, 2 seeds; effects in percentage points with 95 % intervals"
    assert rest == f"{claims.to_text(found)}\n\n"


def test_the_scorecard_shows_every_finding_with_its_effect_where_the_interval_says(study):
    card = Scorecard([study])
    (found,) = card.findings.values()
    figure = card.figure(study)
    (ax,) = figure.axes
    measured = [finding for finding in found if finding.effect is not None]
    drawn = sorted((round(line.get_ydata()[0]), line.get_xdata()[0]) for line in ax.lines if line.get_marker() == "s")
    assert drawn == [(row, pytest.approx(100 * finding.effect.value)) for row, finding in enumerate(measured)]
    labels = [" ".join(label.get_text().split()) for label in ax.get_yticklabels()]
    assert labels == [f"{finding.claim.number}. {finding.statement}" for finding in measured]
    assert figure.texts[-1].get_text().startswith("dyck: preset tiny, 2 seeds, 60 sentences a split and seed; bars: 95 %")
    plt.close("all")
    html = card.to_html()
    assert re.match(r"<h3>Dyck.* dyck \(preset tiny, 2 seeds\)</h3><table>", html)
    assert claims.to_html(found) in html


def test_a_scorecard_without_a_single_effect_has_an_empty_figure(study):
    card = Scorecard([study])
    card.findings[study.name] = [Finding(ALL_OF_IT, "a", None, "why"), Finding(ALL_OF_IT, "b", nothing(), "why")]
    assert not [line for ax in card.figure(study).axes for line in ax.lines if line.get_marker() not in ("", "None", None)]
    plt.close("all")


def test_the_scorecard_says_how_verdicts_are_made_and_how_far_to_trust_them(study):
    said = Scorecard([study, study]).method()
    for part in ("`seen_structure` (Dyck)", "at least 90 %", "A verdict needs 3 seeds", "% (with 2 seeds)", "There are "):
        assert part in said
    one = Scorecard([replace(study, seeds=1)]).method()
    assert "with 1 seed" not in one, "with one seed there is no interval over seeds"
    assert "% (with 3 seeds) of simulated studies" in one, "what a verdict would rest on"
    for text in (said, one):
        assert text.endswith(".")
        assert not re.search(r"nan|  |\.\.", text)
