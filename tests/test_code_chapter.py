"""The chapter on code: its figures, tables and sentences say what was measured, and a new proxy is in all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import nbformat
import numpy as np
import pandas as pd
import pytest
from chapters import figure_of, marks, mean, new_proxy, panel, percent, picture_of, shown_in
from code_study import code_study, small_study
from conftest import ROOT
from planted import scrambled
from readable import flaw, seen

from lib.claims import representative
from lib.measuring.intervals import Estimate, nothing
from lib.prose import in_a_line
from lib.proxies import MODEL, PROXIES, Simplification
from lib.studies import Study
from lib.tasks.code.completion import CompletionChapter
from lib.tasks.code.heads import BASELINE, copying_heads, scores, single_heads
from lib.tasks.code.languages import CLASSES, NEW, REPEATED

NEW_PROXY = "rounded off, 16 steps"  # as figures and tables call it
UNSEEN = ("c", "javascript")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[Study]:
    """With HumanEval-X in two languages, and the new proxy; every measured share differs from all others."""
    with new_proxy():
        study = code_study(tmp_path_factory.mktemp("chapter"), True, lambda experiment: experiment.with_proxies(["rounded"]))
        fixed = {(Simplification("svd", rank), "seen_package"): share for rank, share in ((1, 0.5), (2, 0.93), (4, 0.95))}
        blocks = {run.seed: scrambled(study.estimates.blocks(run.seed), run.seed, fixed) for run in study.runs}
        study.estimates = study.estimates_of(blocks)
        yield study


def chapter_of(study: Study, example: int = 2) -> CompletionChapter:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(study.folder.parents[1]))
        return CompletionChapter(study, example)


@pytest.fixture(scope="module")
def chapter(study) -> CompletionChapter:
    return chapter_of(study)


@pytest.fixture(scope="module")
def plain_chapter(tmp_path_factory) -> CompletionChapter:
    """Of a study without HumanEval-X and without another proxy."""
    return chapter_of(small_study(tmp_path_factory.getbasetemp()))


pytestmark = pytest.mark.slow


def gap(study: Study, s: Simplification, splits=UNSEEN, reference: str = "id", kind: int | None = None) -> float:
    of_kind = lambda columns: True if kind is None else columns["character"] == kind  # noqa: E731
    inside = mean(study, s, reference, where=of_kind)
    return float(np.mean([inside - mean(study, s, split, where=of_kind) for split in splits]))


FIGURES = ("training", "baseline", "complexity", "gaps", "single_heads", "domains", "classes", "induction")
SENTENCES = (
    "corpus_text", "learned", "faithful", "margins_text", "domain_text", "words", "words_at_equal_effect", "foreseen_text",
    "heads_text", "in_short", "first_page", "sure",
)  # fmt: skip
TABLES = ("composition", "by_layer", "controls", "foreseen_table")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_and_says_what_it_shows(chapter, name):
    picture = picture_of(chapter, name)
    assert "preset tiny, 2 seeds" in picture.note
    assert not re.search(r"\bnan\b", shown_in(picture) + picture.alt)
    assert flaw(picture.alt) is None, picture.alt
    assert len(picture.alt.split()) > 12, "it says what is to be seen"
    assert "<svg" in picture.to_html()


@pytest.mark.parametrize("of", ["chapter", "plain_chapter"])
@pytest.mark.parametrize("name", SENTENCES)
def test_every_sentence_reads_well(request, of, name):
    said = getattr(request.getfixturevalue(of), name)()
    assert flaw(said) is None, said


HEADINGS = ("learned", "gaps", "margins", "domains", "words", "heads", "foreseen")


@pytest.mark.parametrize("of", ["chapter", "plain_chapter"])
@pytest.mark.parametrize("section", HEADINGS)
def test_every_heading_is_one_and_says_what_was_found(request, of, section):
    heading = request.getfixturevalue(of).heading(section)
    assert re.fullmatch(r"## [A-Z][^\n<\[]*[^.]", heading)
    assert len(heading) < 110


def test_every_section_of_the_notebook_has_its_heading():
    cells = nbformat.read(ROOT / "notebooks" / "code_completion.ipynb", 4).cells
    asked = re.findall(r'chapter\.heading\("(\w+)"\)', "\n".join(cell.source for cell in cells))
    assert asked == list(HEADINGS)


def test_the_box_says_what_was_trained_and_what_stands_for_a_family(chapter, study):
    box = chapter.setup()
    s = chapter.chosen["svd"]
    assert f"<dt>Rank {s.complexity} of {study.experiment.model.head_width}</dt>" in box
    assert "C and JavaScript" in box
    assert "90 % of cases on packages seen in training" in box
    for proxy in chapter.chosen:
        assert f"<dd>{in_a_line(proxy)}</dd>" in box


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_whole(chapter, name):
    shown = getattr(chapter, name)()
    table = shown.frame
    assert shown.caption
    assert len(table)
    assert table.index.is_unique
    assert not table.isin(["", "nan"]).any(axis=None)


def test_every_part_of_the_chapter_is_tested_here(chapter):
    public = {name for name in dir(chapter) if not name.startswith("_") and callable(getattr(type(chapter), name, None))}
    assert public - {"compared", "worked_example", "gap", "heading", "looks", "setup", "training_languages"} == {
        *FIGURES,
        *SENTENCES,
        *TABLES,
    }


def test_the_simplification_that_stands_for_a_proxy_is_chosen_on_packages_seen_in_training(chapter, study):
    for proxy, s in chapter.chosen.items():
        assert s == representative(study, -1, proxy)
        family = study.family(proxy, -1)
        trusted = [member for member in family if mean(study, member, "seen_package") >= 0.9]
        expected = (
            min(trusted, key=lambda m: m.complexity or 0)
            if trusted
            else max(family, key=lambda m: mean(study, m, "seen_package"))
        )
        assert s == expected


def test_sentences_have_the_numbers_that_were_measured(chapter, study):
    for s in chapter.chosen.values():
        assert re.search(
            rf"\b{100 * mean(study, s, 'id'):.0f} % \[[^]]*\] with {re.escape(s.phrase)}", seen(chapter.faithful())
        )
        assert chapter.gap(s).value == pytest.approx(gap(study, s))
    svd = chapter.chosen["svd"]
    domain, language = (
        gap(study, svd, ["humaneval_x/python"]),
        gap(study, svd, ["humaneval_x/javascript"], "humaneval_x/python"),
    )
    assert re.findall(r"loses ([−\d.]+) \[", seen(chapter.domain_text())) == [percent(domain), percent(language)]
    repeated, new = (gap(study, svd, kind=kind) for kind in (REPEATED, NEW))
    found = re.findall(r"([−+\d.]+) \[", seen(chapter.words()))
    assert [number.lstrip("+−") for number in found] == [percent(abs(x)) for x in (repeated, new, repeated - new)]
    blocks = [{block.split: block for block in of} for of in scores(study.runs).values()]
    model, other = (
        [np.mean([of[x].sums[who, "accuracy"].sum() / of[x].columns["n"].sum() for of in blocks]) for x in ("id", *UNSEEN)]
        for who in (MODEL, BASELINE)
    )
    found = re.findall(r"([−+\d.]+)(?: %)? \[", seen(chapter.learned()))
    better = [percent(abs(np.mean(a) - np.mean(b))) for a, b in ((model[:1], other[:1]), (model[1:], other[1:]))]
    shares = [f"{100 * value:.0f}" for value in (model[0], np.mean(model[1:]))]
    assert [number.lstrip("+−") for number in found] == [shares[0], better[0], shares[1], better[1]]


def test_the_chapter_opens_with_the_numbers_that_were_measured(chapter, study):
    svd, said = chapter.chosen["svd"], seen(chapter.in_short())
    assert re.search(r"(\d+) % \[", said)[1] == f"{100 * mean(study, svd, 'id'):.0f}"
    assert percent(abs(gap(study, svd))) in said
    assert f"{svd.phrase}, in every head of a model trained on Python, makes" in said
    margins = [study.estimates.matched_gap(svd, split, "id", ["margin"], fewest=20).value for split in UNSEEN]
    assert percent(abs(np.mean(margins))) in chapter.margins_text()


def test_what_was_not_matched_is_called_so(chapter, monkeypatch):
    controlled = {phrase: {**of, "same margins": nothing()} for phrase, of in chapter.controlled.items()}
    monkeypatch.setitem(vars(chapter), "controlled", controlled)
    assert "too little to compare" in chapter.margins_text()
    assert chapter.heading("margins").endswith(" was not measured")


@pytest.mark.parametrize(("better", "says"), [(0.1, ""), (-0.1, "as a demonstration."), (0.0, "is not clear (")])
def test_a_weak_model_is_called_so_at_the_beginning_and_at_the_end(chapter, study, monkeypatch, better, says):
    """By how much more often it is right than the n-gram model in distribution; passes are of all sequences there are."""
    level = {MODEL: 0.5 + better, BASELINE: 0.5}

    class Scores:
        def estimate(self, who, split, measure):
            spread = 0.001 if better else 0.1
            return Estimate(np.array([level[who] + spread * (who == MODEL), level[who]]), None, 100)

    monkeypatch.setitem(vars(chapter), "scores", Scores())
    for said in (chapter.in_short(), chapter.sure()):
        assert flaw(said) is None, said
        assert ("6-gram" in said) == bool(says)
        assert says in said
    if better < 0:
        settings = study.experiment.training
        passes = settings.steps * settings.batch_size / len(study.runs[0].data.training)
        shown = f"{passes:.1f}" if passes >= 0.05 else "fewer than 0.1"
        assert f"it made {shown} passes" in said


def test_figures_have_the_numbers_that_were_measured(chapter, study):
    (ax,) = chapter.gaps().figure.axes
    drawn = sorted(marks(ax))
    expected = [100 * gap(study, s, [split]) for s in chapter.chosen.values() for split in ("seen_package", *UNSEEN)]
    assert drawn == pytest.approx(sorted(expected), abs=1e-4)
    domains = chapter.domains().figure.axes[0]
    drawn = sorted(marks(domains))
    shown = ("id", "humaneval_x/javascript", "humaneval_x/python")
    assert drawn == pytest.approx(sorted(mean(study, s, x) for s in chapter.chosen.values() for x in shown), abs=1e-6)
    (by_kind,) = chapter.classes().figure.axes
    svd = chapter.chosen["svd"]
    rows = [CLASSES.index(label.get_text()) for label in by_kind.get_yticklabels()]
    assert len(rows) > 3
    assert marks(by_kind, PROXIES["svd"].colour) == pytest.approx([100 * gap(study, svd, kind=kind) for kind in rows], abs=1e-4)


def test_heads_on_their_own_are_shown_with_their_agreement_and_gap(chapter, study):
    figure, heads = figure_of(chapter, "single_heads"), single_heads(study, UNSEEN)
    assert len(heads) == 3 * 2 * 4  # proxies, seeds, heads
    for s, of in heads.groupby("simplification", sort=False):
        for name, column in (("agreement in distribution, %", "inside"), ("gap, points", "gap")):
            (shown,) = [
                line for line in panel(figure, f"{s.label}\n{name}").lines if line.get_marker() == PROXIES[s.proxy].marker
            ]
            assert sorted(shown.get_ydata()) == pytest.approx(sorted(100 * of[column]))
            assert [round(x) for x in shown.get_xdata()] == of["layer"].tolist()
    scores = pd.concat([copying_heads(run) for run in study.runs])
    repeated = single_heads(study, UNSEEN, CLASSES[REPEATED]).merge(scores, on=["seed", "layer", "head"])
    for s, of in repeated.groupby("simplification", sort=False):
        points = panel(figure_of(chapter, "induction"), s.label).collections[0]
        expected = np.stack([of["induction"], 100 * of["gap"]], 1)
        np.testing.assert_allclose(points.get_offsets(), expected)
        np.testing.assert_allclose(points.get_array(), of["previous_token"])


def test_tables_have_one_row_for_each_layer_and_proxy(chapter, study):
    table = chapter.by_layer().frame
    simplifications = {f"{s.place}: {s.label}": s for layer in (0, 1) for s in study.simplifications(layer)}
    assert set(table.index) == set(simplifications)
    for row, s in simplifications.items():
        assert table.loc[row, "agreement"] == f"{percent(mean(study, s, 'id'))} %"
        assert table.loc[row, "gap, points"].split()[0] == percent(gap(study, s))
    controls = chapter.controls().frame
    assert list(controls.index) == [s.phrase for s in chapter.chosen.values()]
    assert list(controls.columns) == ["gap", "same kinds of characters", "same margins"]
    for s in chapter.chosen.values():
        margins = [study.estimates.matched_gap(s, split, "id", ["margin"], fewest=20).value for split in UNSEEN]
        assert controls.loc[s.phrase, ["gap", "same margins"]].str.split().str[0].tolist() == [
            percent(gap(study, s)), percent(np.mean(margins)),
        ]  # fmt: skip


def test_other_training_languages_stand_side_by_side(chapter, study):
    table = chapter.compared({"code": study, "code-again": study}).frame
    assert list(table.columns) == ["trained on Python (code)", "trained on Python (code-again)"]
    assert chapter.compared({"code": study}) is None
    assert chapter.training_languages({"code": study}).startswith("Here models were trained on Python (code) alone.")
    svd = chapter.chosen["svd"]
    assert table.loc["SVD rank"].tolist() == [str(svd.complexity)] * 2
    assert table.loc["accuracy in distribution", "trained on Python (code)"].startswith(
        percent(mean(study, MODEL, "id", "accuracy"))
    )
    assert table.loc["agreement in distribution", "trained on Python (code)"].startswith(percent(mean(study, svd, "id")))
    assert table.loc["gap to other languages, points", "trained on Python (code)"].startswith(percent(gap(study, svd)))


def test_the_example_says_how_often_the_two_agree(chapter):
    explorer = chapter.worked_example()
    html = explorer.to_html()
    assert "SVD of rank 2 in all layers of the model of the first seed" in html
    share, characters = re.search(r"agree on (\d+) % of the (\d+) characters", html).groups()
    assert share == f"{100 * (1 - html.count('<span class=') / int(characters)):.0f}"
    assert len(explorer.state["text"]) == int(characters), "the live figure opens on the same"
    assert {"proxy": "svd", "complexity": 2, "layer": -1}.items() <= explorer.state.items()


def test_the_example_is_of_the_setting_that_stands_for_the_svd_unless_another_is_asked_for(chapter, study):
    assert chapter_of(study, 0).example == chapter.chosen["svd"]
    assert chapter_of(study, 4).example.complexity == 4 != chapter.chosen["svd"].complexity


def test_without_humaneval_x_the_chapter_says_what_to_do(plain_chapter):
    assert "set `LIB_HUMANEVAL_X`" in plain_chapter.domains().data
    assert plain_chapter.domain_text().endswith("is left open in this run.")


def test_a_new_proxy_is_in_every_figure_and_table(chapter, study):
    for name in ("gaps", "single_heads", "domains", "classes", "induction"):
        assert NEW_PROXY in shown_in(picture_of(chapter, name))
    assert f"layer 0: {NEW_PROXY}" in chapter.by_layer().frame.index
    assert "rounded off with 16 steps" in chapter.controls().frame.index
    assert "rounded off with 16 steps" in chapter.faithful()


def test_a_new_proxy_is_in_every_claim_on_code(study):
    cells = [cell for cell in study.task.findings(study) if cell.proxy == "rounded" and cell.reading == "A"]
    assert [cell.claim.number for cell in cells] == [5] * 3 + [6] * 2
    assert [cell.split for cell in cells] == ["c", "javascript", "humaneval_x/javascript", "repeated words", "induction heads"]
    assert cells[0].effect.value == pytest.approx(gap(study, Simplification("rounded", 16), ["c"]))
