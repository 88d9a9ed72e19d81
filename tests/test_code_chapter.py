"""The chapter on code: its figures, tables and sentences say what was measured, and a new proxy is in all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from chapters import figure_of, marks, mean, new_proxy, panel, percent, shown_in
from code_study import code_study, small_study
from planted import scrambled
from readable import flaw

from lib.claims import representative
from lib.measuring.intervals import Estimate, nothing
from lib.proxies import MODEL, PROXIES, Simplification
from lib.studies import Study
from lib.tasks.code.completion import CompletionChapter
from lib.tasks.code.heads import BASELINE, copying_heads, scores, single_heads
from lib.tasks.code.languages import CLASSES, NEW, REPEATED
from lib.tasks.code.ngram import NGram

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


def chapter_of(study: Study) -> CompletionChapter:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(study.folder.parents[1]))
        return CompletionChapter(study, example=2)


@pytest.fixture(scope="module")
def chapter(study) -> CompletionChapter:
    return chapter_of(study)


@pytest.fixture(scope="module")
def plain_chapter(tmp_path_factory) -> CompletionChapter:
    """Of a study without HumanEval-X and without another proxy."""
    return chapter_of(small_study(tmp_path_factory.getbasetemp()))


pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("style")]


def gap(study: Study, s: Simplification, splits=UNSEEN, reference: str = "id", kind: int | None = None) -> float:
    of_kind = lambda columns: True if kind is None else columns["character"] == kind  # noqa: E731
    inside = mean(study, s, reference, where=of_kind)
    return float(np.mean([inside - mean(study, s, split, where=of_kind) for split in splits]))


FIGURES = ("training", "baseline", "complexity", "gaps", "single_heads", "domains", "classes", "induction")
SENTENCES = (
    "corpus_text", "learned", "chosen_text", "faithful", "domain_text", "words", "words_at_equal_effect", "foreseen_text",
    "heads_text", "summary", "headline",
)  # fmt: skip
TABLES = ("composition", "by_layer", "controls", "foreseen_table")


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_and_says_what_it_shows(chapter, name):
    figure = figure_of(chapter, name)
    figure.canvas.draw()
    assert "preset tiny, 2 seeds" in figure.texts[-1].get_text()
    assert not re.search(r"\bnan\b", shown_in(figure))


@pytest.mark.parametrize("of", ["chapter", "plain_chapter"])
@pytest.mark.parametrize("name", SENTENCES)
def test_every_sentence_reads_well(request, of, name):
    said = getattr(request.getfixturevalue(of), name)()
    for item in said.split("\n"):
        assert flaw(item.removeprefix("- ")) is None, item
        assert item.startswith("- ") == (name == "summary")


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_whole(chapter, name):
    table = getattr(chapter, name)()
    assert len(table)
    assert table.index.is_unique
    assert not table.isin(["", "nan"]).any(axis=None)


def test_every_part_of_the_chapter_is_tested_here(chapter):
    public = {name for name in dir(chapter) if not name.startswith("_") and callable(getattr(type(chapter), name, None))}
    assert public - {"compared", "example_html", "gap", "looks"} == {*FIGURES, *SENTENCES, *TABLES}


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
        begins = f"{s.phrase[0].upper()}{s.phrase[1:]} in every head agrees with the model on {percent(mean(study, s, 'id'))} %"
        assert begins in chapter.faithful()
        after = chapter.faithful().partition(begins)[2].partition(". ")[0]
        assert percent(abs(gap(study, s))) in after
    svd = chapter.chosen["svd"]
    domain, language = (
        gap(study, svd, ["humaneval_x/python"]),
        gap(study, svd, ["humaneval_x/javascript"], "humaneval_x/python"),
    )
    assert re.findall(r"loses ([−\d.]+) \[", chapter.domain_text()) == [percent(domain), percent(language)]
    repeated, new = (gap(study, svd, kind=kind) for kind in (REPEATED, NEW))
    found = re.findall(r"([−+\d.]+) \[", chapter.words())
    assert [number.lstrip("+") for number in found] == [percent(repeated), percent(new), percent(repeated - new)]
    blocks = [
        {block.split: block for block in scores(run, NGram(run.data.training, len(run.data.vocabulary)))} for run in study.runs
    ]
    model, other = (
        [np.mean([of[x].sums[who, "accuracy"].sum() / of[x].columns["n"].sum() for of in blocks]) for x in ("id", *UNSEEN)]
        for who in (MODEL, BASELINE)
    )
    expected = [model[0], model[0] - other[0], np.mean(model[1:]), np.mean(model[1:]) - np.mean(other[1:])]
    found = re.findall(r"([−+\d.]+)(?: %)? \[", chapter.learned())
    assert [number.lstrip("+") for number in found] == list(map(percent, expected))


def test_the_headline_has_the_numbers_that_were_measured(chapter, study):
    svd, said = chapter.chosen["svd"], chapter.headline()
    assert re.search(r"([\d.]+) % \[", said)[1] == percent(mean(study, svd, "id"))
    margins = [study.estimates.matched_gap(svd, split, "id", ["margin"], fewest=20).value for split in UNSEEN]
    found = re.search(r"is ([−\d.]+) \[.*?\] points on average, and ([−\d.]+) \[.*?\] where the model is equally", said)
    assert found.groups() == (percent(gap(study, svd)), percent(np.mean(margins)))
    assert f"{svd.phrase} of {study.experiment.model.head_width} in every head of a model trained on" in said


def test_what_was_not_matched_is_not_in_the_headline(chapter, monkeypatch):
    controlled = {phrase: {**of, "same margins": nothing()} for phrase, of in chapter.controlled.items()}
    monkeypatch.setitem(vars(chapter), "controlled", controlled)
    said = chapter.headline()
    assert flaw(said) is None
    assert "equally certain" not in said


@pytest.mark.parametrize(("better", "says"), [(0.1, ""), (-0.1, "a demonstration."), (0.0, "is not clear (")])
def test_a_weak_model_is_called_so_in_summary_and_headline(chapter, study, monkeypatch, better, says):
    """By how much more often it is right than the n-gram model in distribution; passes are of all sequences there are."""
    level = {MODEL: 0.5 + better, BASELINE: 0.5}

    class Scores:
        def estimate(self, who, split, measure):
            spread = 0.001 if better else 0.1
            return Estimate(np.array([level[who] + spread * (who == MODEL), level[who]]), None, 100)

    monkeypatch.setitem(vars(chapter), "_scores", Scores())
    for said in (chapter.headline(), chapter.summary().split("\n")[0].removeprefix("- ")):
        assert flaw(said) is None, said
        assert ("6-gram" in said) == bool(says)
        assert says in said
    if better < 0:
        settings = study.experiment.training
        passes = settings.steps * settings.batch_size / len(study.runs[0].data.training)
        shown = f"{passes:.1f}" if passes >= 0.05 else "fewer than 0.1"
        assert f"the model made {shown} passes" in said


def test_figures_have_the_numbers_that_were_measured(chapter, study):
    (ax,) = chapter.gaps().axes
    drawn = sorted(marks(ax))
    expected = [100 * gap(study, s, [split]) for s in chapter.chosen.values() for split in ("seen_package", *UNSEEN)]
    assert drawn == pytest.approx(sorted(expected), abs=1e-4)
    domains = chapter.domains().axes[0]
    drawn = sorted(marks(domains))
    shown = ("id", "humaneval_x/javascript", "humaneval_x/python")
    assert drawn == pytest.approx(sorted(mean(study, s, x) for s in chapter.chosen.values() for x in shown), abs=1e-6)
    (by_kind,) = chapter.classes().axes
    svd = chapter.chosen["svd"]
    rows = [CLASSES.index(label.get_text()) for label in by_kind.get_yticklabels()]
    assert len(rows) > 3
    assert marks(by_kind, PROXIES["svd"].colour) == pytest.approx([100 * gap(study, svd, kind=kind) for kind in rows], abs=1e-4)


def test_heads_on_their_own_are_shown_with_their_agreement_and_gap(chapter, study):
    figure, heads = figure_of(chapter, "single_heads"), single_heads(study, UNSEEN)
    assert len(heads) == 3 * 2 * 4  # proxies, seeds, heads
    for s, of in heads.groupby("simplification", sort=False):
        for name, column in (("agreement on id, %", "inside"), ("gap, points", "gap")):
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
    table = chapter.by_layer()
    simplifications = {f"{s.place}: {s.label}": s for layer in (0, 1) for s in study.simplifications(layer)}
    assert set(table.index) == set(simplifications)
    for row, s in simplifications.items():
        assert table.loc[row, "agreement on id"] == f"{percent(mean(study, s, 'id'))} %"
        assert table.loc[row, "gap, points"].split()[0] == percent(gap(study, s))
    controls = chapter.controls()
    assert list(controls.index) == [s.phrase for s in chapter.chosen.values()]
    assert list(controls.columns) == ["gap", "same kinds of characters", "same margins"]
    for s in chapter.chosen.values():
        margins = [study.estimates.matched_gap(s, split, "id", ["margin"], fewest=20).value for split in UNSEEN]
        assert controls.loc[s.phrase, ["gap", "same margins"]].str.split().str[0].tolist() == [
            percent(gap(study, s)), percent(np.mean(margins)),
        ]  # fmt: skip


def test_other_training_languages_stand_side_by_side(chapter, study):
    table = chapter.compared({"code": study, "code-again": study})
    assert list(table.columns) == ["trained on code", "trained on code-again"]
    svd = chapter.chosen["svd"]
    assert table.loc["SVD rank"].tolist() == [str(svd.complexity)] * 2
    assert table.loc["accuracy on id", "trained on code"].startswith(percent(mean(study, MODEL, "id", "accuracy")))
    assert table.loc["agreement on id", "trained on code"].startswith(percent(mean(study, svd, "id")))
    assert table.loc["gap to other languages, points", "trained on code"].startswith(percent(gap(study, svd)))


def test_the_example_says_how_often_the_two_agree(chapter):
    html = chapter.example_html()
    assert "SVD of rank 2 in all heads of the model of the first seed" in html
    share, characters = re.search(r"agree on (\d+) % of the (\d+) characters", html).groups()
    assert share == f"{100 * (1 - html.count('<span class=') / int(characters)):.0f}"


def test_without_humaneval_x_the_chapter_says_what_to_do(plain_chapter):
    assert "set `LIB_HUMANEVAL_X`" in plain_chapter.domains().data
    assert plain_chapter.domain_text().endswith("is left open in this run.")


def test_a_new_proxy_is_in_every_figure_and_table(chapter, study):
    for figure in (
        figure_of(chapter, "gaps"),
        figure_of(chapter, "single_heads"),
        chapter.domains(),
        figure_of(chapter, "classes"),
        figure_of(chapter, "induction"),
    ):
        assert NEW_PROXY in shown_in(figure)
    assert f"layer 0: {NEW_PROXY}" in chapter.by_layer().index
    assert "rounded off with 16 steps" in chapter.controls().index
    for sentence in (chapter.faithful(), chapter.summary()):
        assert re.search("(?i)rounded off with 16 steps", sentence)


def test_a_new_proxy_is_in_every_claim_on_code(study):
    cells = [cell for cell in study.task.findings(study) if cell.proxy == "rounded" and cell.reading == "A"]
    assert [cell.claim.number for cell in cells] == [5] * 3 + [6] * 2
    assert [cell.split for cell in cells] == ["c", "javascript", "humaneval_x/javascript", "repeated words", "induction heads"]
    assert cells[0].effect.value == pytest.approx(gap(study, Simplification("rounded", 16), ["c"]))
