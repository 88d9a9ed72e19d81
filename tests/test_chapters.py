"""The chapters on Dyck: their figures, tables and sentences say what was measured, and a new proxy is in all of them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product

import nbformat
import numpy as np
import pytest
from chapters import figure_of, mean, percent, picture_of, shown_in, title_of, titles
from conftest import ROOT
from readable import flaw

from lib.claims import representative
from lib.errors import InputError
from lib.prose import begin, in_a_line
from lib.proxies import MODEL, PROXIES, Simplification
from lib.tasks.dyck.clustering import ClusteringChapter
from lib.tasks.dyck.depth import DepthChapter
from lib.tasks.dyck.language import FIRST_BRACKET
from lib.tasks.dyck.live import LiveBrackets
from lib.tasks.dyck.sentences import compare_sentence, deepest_sentences

SVD, KMEANS, ONE_HOT = Simplification("svd", 2, 1), Simplification("kmeans", 8, 1), Simplification("one_hot", None, 1)
ROUNDED = Simplification("rounded", 16, 1)
NEW = "rounded off, 16 steps"  # as figures and tables call it
UNSEEN = ("unseen_structure", "unseen_structure_long", "unseen_length", "unseen_depth")


pytestmark = pytest.mark.slow


# Everything runs and reads well


FIGURES = {
    "depth": (
        "boundary", "sentence", "training", "along_training", "decomposition", "faithfulness", "opener",
        "attended_depth", "helps",
    ),
    "clustering": ("shift", "complexity", "transfer", "at_equal_agreement", "unexplained", "oracle"),
}  # fmt: skip
SENTENCES = {
    "depth": (
        "occurrence_text", "boundary_text", "learned", "decomposition_text", "gap", "better", "attention", "misses_text",
        "helps_text", "settings_text", "sure",
    ),
    "clustering": (
        "comparison", "line", "bases_text", "dropped", "oracle_gains", "lengths", "random_text", "settings_text", "in_short",
        "sure",
    ),
}  # fmt: skip
TABLES = {"depth": ("gaps", "gaps_elsewhere", "misses_table"), "clustering": ("bases", "controls", "against_random")}


def parts(of: dict) -> list[tuple[str, str]]:
    return [(chapter, name) for chapter, names in of.items() for name in names]


@pytest.mark.parametrize(("chapter", "name"), parts(FIGURES))
def test_every_figure_is_drawn_and_says_what_it_shows(request, chapter, name):
    picture = picture_of(request.getfixturevalue(chapter), name)
    assert "tiny" in picture.note
    assert not re.search(r"\bnan\b", shown_in(picture) + picture.alt)
    assert flaw(picture.alt) is None, picture.alt
    assert len(picture.alt.split()) > 12, "it says what is to be seen"
    assert "<svg" in picture.to_html()


@pytest.mark.parametrize("layer", [0, 1])
def test_projections_are_drawn_of_every_layer(clustering, layer):
    picture = ClusteringChapter(clustering.study, layer, clustering.svd.complexity, clustering.kmeans.complexity)._projections()
    shown = [title_of(ax) for ax in picture.figure.axes[:8]]
    assert shown == [f"{kind} by {of}" for kind in ("queries", "keys") for of in ("depth", "position", "type", "cluster")]
    assert f"layer {layer} of seed 0" in picture.note
    assert picture.alt.count(" % between depths") == 2


@pytest.mark.parametrize(("chapter", "name"), parts(SENTENCES))
def test_every_sentence_reads_well(request, chapter, name):
    said = getattr(request.getfixturevalue(chapter), name)()
    assert flaw(said) is None, said


HEADINGS = {
    "depth": ("learned", "deeper", "boundary", "matched", "misses", "helps", "widest"),
    "clustering": ("compared", "line", "bases", "dropped", "oracle", "controls"),
}


@pytest.mark.parametrize(("chapter", "section"), [(chapter, name) for chapter, names in HEADINGS.items() for name in names])
def test_every_heading_is_one_and_says_what_was_found(request, chapter, section):
    heading = request.getfixturevalue(chapter).heading(section)
    assert re.fullmatch(r"## [A-Z][^.\n<\[]*", heading.replace(".", "", heading.count(".") - heading.endswith("."))), heading
    assert len(heading) < 110


def test_every_section_of_a_notebook_has_its_heading(study, depth):
    """And no heading is asked for that there is not."""
    for name, chapter in (("dyck_depth", "depth"), ("svd_vs_clustering", "clustering")):
        cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
        asked = re.findall(r'chapter\.heading\("(\w+)"\)', "\n".join(cell.source for cell in cells))
        assert asked == list(HEADINGS[chapter])
    assert depth.heading_elsewhere({"one": study}).startswith("## A drop at the edge of training shows in ")


def test_the_box_says_what_a_rank_is_and_what_every_family_does(study, depth, clustering):
    box = depth.setup()
    assert f"<dt>Rank 2 of {study.experiment.model.head_width}</dt>" in box
    assert f"nested at most {study.task.max_depth} deep" in box
    for proxy in dict.fromkeys(s.proxy for s in depth.claimed):
        assert f"<dt>{begin(PROXIES[proxy].label)}</dt><dd>{in_a_line(proxy)}</dd>" in box
    assert "Random subspace" in clustering.setup(), "controls are shown there"


def test_what_a_page_sets_its_live_figure_to_was_measured(study, depth, clustering):
    for said in (depth.settings_text(), depth.gap(), clustering.settings_text()):
        links = re.findall(r'href="#live:proxy=(\w+)(?:&amp;complexity=(\d+))?&amp;layer=1"', said)
        assert links
        for proxy, complexity in links:
            s = Simplification(proxy, int(complexity) if complexity else None, 1)
            assert study.estimates.has(s, "iid"), s


@pytest.mark.parametrize(("chapter", "name"), parts(TABLES))
def test_every_table_is_whole(request, chapter, name):
    shown = getattr(request.getfixturevalue(chapter), name)()
    table = shown.frame
    assert shown.caption
    assert len(table)
    assert table.index.is_unique
    assert not table.isin(["", "nan"]).any(axis=None)


def test_every_part_of_a_chapter_is_tested_here(depth, clustering):
    helpers = {"agreement", "boundaries", "chance", "decompositions", "encodings", "misses"}
    helpers |= {"by_depth_live", "hardest", "projections"}  # live figures
    helpers |= {"setup", "heading", "heading_elsewhere"}
    for name, chapter in (("depth", depth), ("clustering", clustering)):
        public = {n for n in dir(type(chapter)) if not n.startswith("_") and callable(getattr(type(chapter), n))}
        apart = helpers | ({"in_short"} if name == "depth" else set())
        assert public - apart == {*FIGURES[name], *SENTENCES[name], *TABLES[name]}


# Tables


def test_tables_have_one_row_for_each_simplification(study, depth):
    everywhere = [s for layer in (0, 1, -1) for s in study.simplifications(layer)]
    rows = {f"{s.place}: {s.label}": s for s in everywhere}
    gaps, elsewhere = depth.gaps().frame, depth.gaps_elsewhere().frame
    called = {split: study.task.look(split).label for split in UNSEEN}
    assert list(gaps.columns) == list(elsewhere.columns) == list(called.values())
    assert {rows[row] for row in gaps.index} == {s for s in everywhere if s.layer == 1 and s.proxy != "random_subspace"}
    assert {rows[row] for row in elsewhere.index} == {s for s in everywhere if s.layer != 1}
    for row, split in product((*gaps.index, *elsewhere.index), UNSEEN):
        shown = (gaps if row in gaps.index else elsewhere).loc[row, called[split]]
        assert shown.split()[0] == percent(mean(study, rows[row], "iid") - mean(study, rows[row], split))


def test_gaps_of_other_studies_are_taken_apart_beside_one_another(study, depth):
    studies = {"one": study, "another": study}
    table = depth.decompositions(studies).frame
    assert list(table.columns) == ["gap", "mix of depths", "change at the same depth", "depths hardly there in distribution"]
    families = [representative(study, 1, proxy).label for proxy in dict.fromkeys(s.proxy for s in depth.claimed)]
    assert list(table.index) == [f"{name}: {label}" for name in studies for label in families]
    for row, of in table.iterrows():
        (s,) = [s for s in study.simplifications(1) if row.endswith(f": {s.label}")]
        assert of["gap"].split()[0] == percent(mean(study, s, "iid") - mean(study, s, "unseen_depth"))
    boundaries = depth.boundaries(studies).frame
    assert list(boundaries.columns) == ["one (2 seeds)", "another (2 seeds)"]
    assert list(boundaries.index) == [PROXIES[p].label for p in dict.fromkeys(s.proxy for s in depth.claimed)]


def test_other_encodings_stand_side_by_side(study, depth):
    table = depth.encodings({"learned": study, "none": study}).frame
    assert list(table.columns) == ["learned (2 seeds)", "none (2 seeds)"]
    inside, longer, deeper = (study.task.look(split).label for split in ("iid", "unseen_length", "unseen_depth"))
    assert list(table.index)[:4] == [f"model, {inside}", f"model, {longer}", f"model, {deeper}", f"SVD, rank 2, {inside}"]
    assert table.iloc[0, 0].split()[0] == f"{100 * mean(study, MODEL, 'iid', 'accuracy'):.0f}"
    assert table.iloc[8, 1].split()[0] == f"{100 * mean(study, ONE_HOT, 'unseen_depth'):.0f}"


# A new proxy


def test_a_new_proxy_is_in_every_figure_of_simplifications(depth, clustering):
    assert PROXIES["rounded"].parameter != PROXIES["svd"].parameter, "pictures of the example's kind look alike"
    for picture in (
        picture_of(depth, "along_training"),
        picture_of(depth, "faithfulness"),
        picture_of(depth, "opener"),
        picture_of(depth, "attended_depth"),
    ):
        assert NEW in shown_in(picture)
    for picture in (picture_of(clustering, name) for name in ("complexity", "transfer", "oracle")):
        assert "rounded off" in shown_in(picture)
    assert PROXIES["rounded"].colour in [line.get_color() for line in figure_of(clustering, "complexity").axes[0].lines]


def test_attended_depth_is_shown_of_the_example_and_of_other_kinds_of_pictures(study, depth):
    shown = [MODEL.label, SVD.label, *(s.label for s in depth.compared if PROXIES[s.proxy].parameter != "rank")]
    assert [s.proxy for s in depth.compared if s.label not in shown] == ["svd_joint"], "which is a rank, too"
    called = [study.task.look(split).label for split in ("iid", "unseen_depth")]
    assert titles(figure_of(depth, "attended_depth")) == [f"{split}: {label}" for split in called for label in shown]


def test_live_figures_begin_with_a_picture_and_open_on_what_it_shows(depth, clustering):
    for explorer, kind, s in (
        (depth.by_depth_live(), "depth", depth.example),
        (depth.hardest(), "brackets", depth.example),
        (clustering.projections(), "representation", clustering.svd),
    ):
        page = explorer.to_html()
        assert f'<div class="live" data-live="{kind}"><div class="live-still"><figure class="picture ' in page
        assert explorer.state == explorer.config["start"]
        assert {"proxy": "svd", "complexity": s.complexity, "layer": 1, "seed": 0}.items() <= explorer.state.items()
        assert set(explorer.packs) == (set() if kind == "depth" else {"dyck-0", "dyck-1"})


@pytest.mark.parametrize(("parting", "chosen"), [({0: 0.2, 3: 0.7}, 3), ({3: 0.4, 40: 0.4}, 3), ({49: 0.1}, 49), ({}, 0)])
def test_the_sentence_is_that_on_which_model_and_picture_are_furthest_apart(study, depth, monkeypatch, parting, chosen):
    """Of the deepest ones; of several alike the deepest; if they part on none, the deepest of all."""
    deepest = list(deepest_sentences(depth.run, "unseen_depth", count=50).values())
    assert len(deepest) == 50

    def compare(run, sentence, s):
        """The model is always right, the picture wrong at the last bracket of some sentences, more or less surely."""
        which = next(i for i, of in enumerate(deepest) if np.array_equal(of.tokens, sentence.tokens))
        real = compare_sentence(run, sentence, s)
        right = np.zeros_like(real.probabilities["model"])
        for p in real.closers:
            right[p - 1, sentence.tokens[0, p] - FIRST_BRACKET - right.shape[1]] = 1
        picture, last = right.copy(), real.closers[-1]
        if which in parting:
            wrong = np.roll(right[last - 1], 1)
            picture[last - 1] = (1 - parting[which]) * 0.5 * right[last - 1] + (1 + parting[which]) * 0.5 * wrong
        return replace(real, probabilities={"model": right, "proxy": picture})

    monkeypatch.setattr("lib.tasks.dyck.live.compare_sentence", compare)
    live = LiveBrackets(study, SVD)
    comparison, position = live.telling
    assert next(iter(live.examples())) == ("one on which the picture fails" if parting else "the deepest")
    assert comparison.simplification == SVD
    assert np.array_equal(comparison.sentence.tokens, deepest[chosen].tokens)
    assert comparison.parted == ([comparison.closers[-1]] if parting else [])
    assert position == (comparison.closers[-1] if parting else comparison.closers[0])


def test_a_new_proxy_is_in_every_table_and_claim(study, depth):
    for table, place in (
        (depth.gaps(), "layer 1"),
        (depth.gaps_elsewhere(), "layer 0"),
        (depth.gaps_elsewhere(), "all layers"),
    ):
        assert f"{place}: {NEW}" in table.frame.index
    claimed = [cell for cell in study.task.findings(study) if cell.proxy == "rounded" and cell.reading == "A"]
    assert [cell.claim.number for cell in claimed] == [1] * 4 + [2] + [3] * 2, "4 is about proxies without data"
    (gap,) = [cell for cell in claimed if (cell.claim.number, cell.split) == (1, "unseen_depth")]
    assert gap.effect.value == pytest.approx(mean(study, ROUNDED, "iid") - mean(study, ROUNDED, "unseen_depth"))


def test_what_the_model_lacks_is_refused(study):
    with pytest.raises(InputError, match="layer is 2"):
        DepthChapter(study, 2, [2], 2)
    with pytest.raises(InputError, match="rank of svd is 9"):
        DepthChapter(study, 1, [2, 9], 2)
    with pytest.raises(InputError, match="layer is 2"):
        ClusteringChapter(study, 2, 2, 8)
