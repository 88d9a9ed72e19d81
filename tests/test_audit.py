"""Auditing a language model, from the command to the report: what it says is what it measures, and it can be interrupted."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from language_models import character_tokenizer, saved, sentences
from transformers import GPT2Config, GPT2LMHeadModel

from lib.audit import Audit, audit, measuring
from lib.audit.results import QUANTITIES
from lib.chapters.audit import AuditChapter
from lib.chapters.audit import chapter as chapter_of
from lib.cli import main
from lib.errors import ArtifactError, InputError
from lib.measuring.faithfulness import compare
from lib.measuring.intervals import Estimate
from lib.models.export import to_gpt2
from lib.models.huggingface import HuggingFace
from lib.presets import load
from lib.proxies import TRAINING, Fitter, Simplification
from lib.report import check_folder
from lib.split import Dataset
from lib.tasks.text.windows import Texts, Windows
from lib.tasks.text.windows import texts as windows_of

SOME = {"sequences": 30, "length": 32, "positions": 8}
SMALL = ["--sequences", "20", "--length", "32", "--positions", "8"]


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> dict[str, Path]:
    """Two texts of other words."""
    folder, found = tmp_path_factory.mktemp("texts"), {}
    words = {"plain": "the cat sat on a mat and saw one dog", "other": "zwei hunde jagen drei katzen um den baum herum"}
    for seed, (name, of) in enumerate(words.items()):
        found[name] = folder / f"{name}.txt"
        found[name].write_text(sentences(seed, 150, of))
    return found


@pytest.fixture(scope="module")
def trained(texts) -> GPT2LMHeadModel:
    """A tiny GPT-2 that has learned the words of the first text, and in which heads matter."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=97, n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0, initializer_range=0.3
    )
    model, tokenizer = GPT2LMHeadModel(config), character_tokenizer()
    stream = torch.tensor(tokenizer(texts["plain"].read_text()).input_ids)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    for _ in range(120):
        starts = torch.randint(len(stream) - 33, (16,))
        batch = torch.stack([stream[start : start + 32] for start in starts])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 1.3
    return model.eval()


@pytest.fixture(scope="module")
def folder(trained, tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "tiny gpt", trained, character_tokenizer())


@pytest.fixture(scope="module")
def data(trained, texts) -> Texts:
    """What `found` is measured on."""
    return windows_of(texts, character_tokenizer(), 97, Windows(**SOME))


@pytest.fixture(scope="module")
def found(trained, texts) -> Audit:
    return audit(
        trained, character_tokenizer(), texts, "svd:1,4,16 random_subspace:4 one_hot",
        **SOME, each="layer", say=lambda line: None,
    )  # fmt: skip


def run(folder: Path, texts: dict[str, Path], *more: str) -> int:
    given = ["--in-distribution", str(texts["plain"]), "--out-of-distribution", str(texts["other"])]
    return main(["audit", str(folder), *given, *SMALL, *more])


# What is measured


def test_what_is_found_is_what_comes_out_when_it_is_done_by_hand(trained, found, data):
    """Agreement and accuracy from plain forward passes with the rule in every layer, on the windows of the audit."""
    model = HuggingFace(trained)
    split, fitted = data.splits["other"], data.training
    rules = Fitter(model, {TRAINING: fitted}).rules(Simplification("svd", 4))
    tokens = torch.from_numpy(split.tokens)
    with torch.no_grad():
        logits, residual = model.logits(tokens), model.embed(tokens)
        simplified = model.unembed(model.run(residual, rules))
    scored = torch.from_numpy(split.scored)
    agreed = (logits.argmax(-1) == simplified.argmax(-1))[scored].float().mean()
    right = (simplified[scored].argmax(-1) == torch.from_numpy(split.targets)[scored]).float().mean()
    assert found.estimate(Simplification("svd", 4), "other", "agreement").value == pytest.approx(float(agreed), abs=1e-6)
    assert found.estimate(Simplification("svd", 4), "other", "accuracy").value == pytest.approx(float(right), abs=1e-6)


def test_a_projection_onto_everything_agrees_everywhere_and_has_no_gap(found):
    whole = Simplification("svd", 16)
    assert [found.estimate(whole, split, "agreement").value for split in ("plain", "other")] == [1, 1]
    assert found.estimate(whole, "other", "gap").value == 0
    assert found.best == whole


def test_a_model_that_knows_less_than_the_commonest_token_is_doubted(trained, texts, found):
    """As is one that is given the tokens of another tokenizer: here, every letter is another one."""
    assert found.doubts() == ["But SVD of rank 16 leaves nothing out: ask for less, as in svd:4."]
    others = {}
    for name, path in texts.items():
        others[name] = path.with_name(f"shifted {name}.txt")
        others[name].write_text("".join(chr((ord(c) + 8) % 95 + 32) if c != "\n" else c for c in path.read_text()))
    strange = audit(trained, character_tokenizer(), others, "svd:4", **SOME, say=lambda line: None)
    (said,) = strange.doubts()
    assert re.fullmatch(r"But GPT2LMHeadModel is right less often .* token of plain \([\d.]+ %\): is this its own .*", said)


def test_texts_that_are_alike_and_fewer_windows_than_asked_for_are_said(trained, tmp_path):
    """And where too little is left of a text, that this is why."""
    of = [sentences(seed, 3, "the cat sat on a mat and saw one dog").replace("\n\n", " ") for seed in range(160)]
    texts = {}
    for name, paragraphs in {"one": of[:120], "two": of[30:160], "three": of[:118]}.items():
        texts[name] = tmp_path / f"{name}.txt"
        texts[name].write_text("\n\n".join(paragraphs))
    tokenizer, say = character_tokenizer(), lambda line: None
    given = {name: texts[name] for name in ("one", "two")}
    alike = audit(trained, tokenizer, given, "svd:4", **SOME | {"sequences": 500}, say=say)
    assert re.search(r"But \d\d % of one and \d\d % of two was left out, as another text has it alike", repr(alike))
    assert re.search(r"Of 500 windows that were asked for, there are only \d+ of one and \d+ of two", repr(alike))
    given = {name: texts[name] for name in ("one", "three")}
    with pytest.raises(InputError, match=r"'\w+' (is too short \(9\d % of it was left out, as another|has nothing that)"):
        audit(trained, tokenizer, given, "svd:4", **SOME, say=say)


def test_windows_are_no_longer_than_the_model_was_made_for_unless_asked(trained, texts):
    whole = audit(trained, character_tokenizer(), texts, "svd:4", sequences=20, say=lambda line: None)
    assert whole.about["length"] == 64
    with pytest.raises(InputError, match="length is 256, but the model was made for 64 tokens"):
        audit(trained, character_tokenizer(), texts, "svd:4", sequences=20, length=256, say=lambda line: None)


def test_the_table_has_every_quantity_of_every_setting_with_its_interval(found):
    table = found.table
    whole = table[table["layer"] < 0]
    assert set(whole["split"]) == {"plain", "other"}
    assert set(whole["quantity"]) == {*QUANTITIES}
    assert not whole[["value", "low", "high"]].isna().any().any()
    assert (whole["low"] <= whole["value"] + 1e-9).all()
    assert (whole["value"] <= whole["high"] + 1e-9).all()
    inside = whole[(whole["split"] == "plain") & (whole["proxy"] != "")]
    assert set(inside["quantity"]) == {"agreement", "accuracy"}, "there is no gap in distribution"
    assert set(whole[whole["quantity"] == "oracle"]["proxy"]) == {"svd", "random_subspace"}, (
        "hard attention is fitted on nothing"
    )
    parts = table[table["layer"] >= 0]
    assert set(zip(parts["proxy"], parts["complexity"].fillna(0), parts["layer"], strict=True)) == {
        *(
            (proxy, complexity, layer)
            for proxy, complexity in (("svd", 1), ("random_subspace", 4), ("one_hot", 0))
            for layer in (0, 1)
        )
    }


def test_a_gap_is_agreement_in_distribution_less_agreement_elsewhere(found):
    s = Simplification("svd", 1)
    inside, outside = (found.estimate(s, split, "agreement").value for split in ("plain", "other"))
    assert found.estimate(s, "other", "gap").value == pytest.approx(inside - outside)
    assert abs(inside - outside) > 0.02, "else its sign is not tested"


def test_what_proxies_are_fitted_on_is_not_what_they_are_tested_on(data):
    halves = [data.training, data.splits["plain"]], [data.oracles["other"], data.splits["other"]]
    for fitted, tested in halves:
        assert not {row.tobytes() for row in fitted.tokens} & {row.tobytes() for row in tested.tokens}
        assert fitted.fitted.any()


# Sentences


def planted(gap: float, width: float, monkeypatch, **others: float) -> list[str]:
    """The sentences of an audit with a planted gap, its interval so wide to either side."""

    def estimate(self, s, split, quantity):
        values = {"agreement": 0.9 if split == "a" else 0.9 - gap, "accuracy": 0.5, "gap": gap, "gap_at_equal_margin": gap / 2}
        value = {**values, "gap_foreseen": gap, "oracle": 0.95, **others}[quantity]
        return Estimate(np.array([value]), np.array([value - width, value, value + width] * 30), 100)

    monkeypatch.setattr(Audit, "estimate", estimate)
    of = Audit("it", "a", [Simplification("svd", 2)], [], about={"documents": {}})
    monkeypatch.setattr(Audit, "targets", ["b"])
    monkeypatch.setattr(Audit, "own_accuracy", lambda self, split: Estimate(np.array([0.5]), None, 10))
    return of.sentences()


@pytest.mark.parametrize(
    ("gap", "width", "says"),
    [
        (0.2, 0.01, "It loses most on b: there it does so in 70.0 % [69.0, 71.0] of cases, a gap of 20.0 [19.0, 21.0] points"),
        (-0.05, 0.01, "It loses on no other text; on b, the nearest to a loss, there it does so in 95.0 %"),
        (0.01, 0.05, "On no other text can it be told to lose; on b, the nearest to a loss, there it does so in 89.0 %"),
    ],
)
def test_the_second_sentence_says_what_its_interval_allows(gap, width, says, monkeypatch):
    first, second, third = planted(gap, width, monkeypatch)
    assert first.startswith("On a, SVD of rank 2 in all layers")
    assert second.startswith(says)
    assert "where the model is equally certain (for 100 % of the predictions there is such a comparison)." in second
    assert third.startswith("From what was measured on a, and from b and the model itself on it, a gap of")
    assert "nan" not in " ".join((first, second, third))


def test_what_was_not_measured_is_not_said(monkeypatch):
    _, second, third = planted(0.2, 0.01, monkeypatch, gap_at_equal_margin=np.nan, gap_foreseen=np.nan)
    assert "equally certain" not in second
    assert third.startswith("What was to be expected on b is not known")


@pytest.mark.parametrize(("b", "c", "worst"), [((0.06, 0.07), (0.05, 0.02), "c"), ((0.06, 0.02), (0.05, 0.02), "b")])
def test_what_is_spoken_of_is_a_text_on_which_a_loss_can_be_told(b, c, worst, monkeypatch):
    """Though a larger gap of another may be chance."""
    planted_gaps = {"b": b, "c": c, "a": (0, 0)}

    def estimate(self, s, split, quantity):
        value, width = planted_gaps[split]
        return Estimate(np.array([value]), np.array([value - width, value, value + width] * 30), 100)

    monkeypatch.setattr(Audit, "estimate", estimate)
    monkeypatch.setattr(Audit, "targets", ["b", "c"])
    assert Audit("it", "a", [Simplification("svd", 2)], []).worst == worst


def test_controls_are_spoken_of_only_where_there_is_nothing_else(monkeypatch):
    svd, control = Simplification("svd", 2), Simplification("random_subspace", 8)
    monkeypatch.setattr(Audit, "targets", ["b"])
    monkeypatch.setattr(Audit, "estimate", lambda self, s, split, quantity: Estimate(np.array([float(s.complexity)])))
    assert Audit("it", "a", [svd, control], []).best == svd
    assert Audit("it", "a", [control], []).best == control
    assert list(Audit("it", "a", [control], []).gaps()) == [(control, "b")]


# The chapter


def planted_chapter(gap: float, width: float, monkeypatch, **others: float) -> AuditChapter:
    planted(gap, width, monkeypatch, **others)
    return AuditChapter(Audit("it", "a", [Simplification("svd", 2)], [], about={"documents": {"a": 1, "b": 1}}))


@pytest.mark.parametrize(
    ("gap", "width", "oracle", "heading", "says"),
    [
        (0.2, 0.01, 0.95, "## On b, it does so 20.0 points less often", "it agrees more often there, by"),
        (
            -0.2,
            0.01,
            0.95,
            "## On b, it does so 20.0 points more often, and on no other text less often",
            "less often there, by",
        ),
        (0.01, 0.2, 0.89, "## On no other text can it be told to do so less often", "cannot be told to agree more often there"),
    ],
)
def test_the_chapter_says_what_intervals_allow(gap, width, oracle, heading, says, monkeypatch):
    chapter = planted_chapter(gap, width, monkeypatch, oracle=oracle)
    assert chapter.heading("gaps").data == heading
    inside = chapter.heading("agreement").data
    assert inside.endswith("SVD of rank 2 predicts what the model predicts in 90\N{NO-BREAK SPACE}% of cases")
    assert says in chapter.gaps_text().data
    assert "right in 50 %" in re.sub(r"<[^>]*>", "", chapter.agreement_text().data)


@pytest.mark.parametrize(
    ("foreseen", "says"),
    [
        (0.1, "the gap is larger than was to be expected"),
        (0.3, "the gap is smaller than was to be expected"),
        (0.2, "no difference from what was measured can be told"),
        (np.nan, None),
    ],
)
def test_the_chapter_says_how_well_the_gap_was_foreseen(foreseen, says, monkeypatch):
    said = planted_chapter(0.2, 0.01, monkeypatch, gap_foreseen=foreseen).gaps_text().data
    assert ("Foreseen" in said) == (says is not None)
    assert says is None or says in said


def test_the_chapter_shows_an_audit_whole(found):
    chapter = AuditChapter(found)
    assert chapter.missing() is None
    shown = [chapter.setup(), chapter.agreement_text(), chapter.gaps_text(), chapter.sure()]
    pictures = [chapter.agreement(), chapter.gaps(), chapter.layers(), chapter.table()]
    html = " ".join([*(part.data for part in shown), *(picture.to_html() for picture in pictures)])
    assert "nan" not in re.findall(r"\w+", html.lower())
    assert "30 windows of 32 tokens a text, 8 predictions of each by GPT2LMHeadModel" in html
    assert {"plain", "other"} <= {*re.findall(r"\w+", chapter.gaps().alt + chapter.agreement().alt)}


def test_without_an_audit_the_chapter_says_how_to_make_one_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("LIB_ARTIFACTS", str(tmp_path))
    nothing = chapter_of()
    assert "make demonstration" in nothing.missing().data
    shown = ("setup", "agreement", "agreement_text", "gaps", "gaps_text", "layers", "table", "sure")
    assert [getattr(nothing, name)() for name in shown] == [None] * len(shown)
    assert nothing.heading("gaps") is None
    with pytest.raises(ArtifactError, match="holds no finished audit"):
        chapter_of(str(tmp_path))


# The same numbers


def test_a_dyck_model_in_the_form_of_gpt_2_has_the_numbers_of_the_book(tiny, tiny_artifacts, monkeypatch):
    """Measured through the door for everybody's models: agreement, accuracy and divergences of the study's own measurements."""
    monkeypatch.setenv("LIB_ARTIFACTS", str(tiny_artifacts))
    run = load(tiny).study("dyck").runs[0]
    names = ("iid", "unseen_depth")
    fitted = run.data.training.first(run.experiment.measuring.fit_sequences)
    data = Dataset(run.data.vocabulary, run.data.context, fitted, {name: run.data.splits[name] for name in names})
    found = audit(to_gpt2(run.model), None, data, "svd:1,3,8 kmeans:16 one_hot", oracles=False, say=lambda line: None)
    assert len(found.settings) == 5
    for book, here in zip(run.compare(list(data.splits.values()), found.settings), found.blocks, strict=True):
        for s, name in book.sums:
            one, other = (block.sums[s, name].sum(dtype=float) / block.columns["n"].sum() for block in (book, here))
            assert other == pytest.approx(one, abs=1e-6), (s, name)


# The command


def test_the_command_says_what_it_found(folder, texts, tmp_path, capsys):
    kept = tmp_path / "kept"
    assert run(folder, texts, "--proxies", "svd:1,16", "one_hot", "--folder", str(kept)) == 0
    printed, progress = capsys.readouterr()
    assert re.search(
        r"tiny-gpt: (less than two minutes|about \d+ minutes), and at most [\d.]+ GB of memory beside the model", progress
    )
    assert "SVD, rank 16" in printed
    assert "one-hot" in printed
    assert "predicts what tiny-gpt predicts in 100.0 %" in printed
    assert "nan" not in printed
    assert printed.rstrip().endswith(str(kept))
    table = pd.read_csv(kept / "audit.csv")
    assert {"plain", "other"} == set(table["split"])
    assert sorted(path.name for path in kept.iterdir()) == [
        "audit.csv", "audit.json", "begun.json", "parts.parquet", "whole.parquet",
    ]  # fmt: skip
    again = Audit.read(kept)
    measured = Audit(again.name, again.reference, again.settings, again.blocks, again.single, again.about)
    pd.testing.assert_frame_equal(again.table, measured.table, check_dtype=False, check_exact=True)


def test_an_audit_that_is_there_is_not_made_again_and_one_that_was_interrupted_goes_on(
    folder, texts, tmp_path, capsys, monkeypatch
):
    """With the same numbers, to the last bit."""
    ways = {}
    for name in ("whole", "interrupted"):
        ways[name] = tmp_path / name
        given = (folder, texts, "--proxies", "svd:2", "--each", "layer", "--folder", str(ways[name]))
        if name == "interrupted":
            measured = []

            def failing(*arguments, measured=measured):
                measured.append(arguments)
                if len(measured) > 6:
                    raise KeyboardInterrupt
                return compare(*arguments)

            monkeypatch.setattr(measuring, "compare", failing)
            assert run(*given) == 130
            assert list(ways[name].glob("*-*.parquet"))
            monkeypatch.setattr(measuring, "compare", compare)
        assert run(*given) == 0
    whole, interrupted = ((path / "whole.parquet").read_bytes() for path in ways.values())
    assert whole == interrupted
    monkeypatch.setattr(measuring, "compare", None)  # nothing is measured any more
    capsys.readouterr()
    assert run(*given) == 0
    assert "SVD, rank 2" in capsys.readouterr().out


def test_a_gap_that_is_too_large_fails(folder, texts, tmp_path, capsys):
    swapped = {"plain": texts["other"], "other": texts["plain"]}  # on which more is lost
    given = (folder, swapped, "--proxies", "svd:1", "random_subspace:1", "--folder", str(tmp_path / "kept"))
    assert run(*given, "--fail-above", "0.5") == 1
    said = capsys.readouterr().err
    assert re.search(r"larger than 0.5 points: SVD, rank 1 on plain: \d+\.\d points\n$", said), "and nothing of a control"
    assert run(*given, "--fail-above", "100") == 0


def test_another_audit_is_not_mixed_with_one_that_is_there(folder, texts, tmp_path, capsys):
    kept = tmp_path / "kept"
    assert run(folder, texts, "--proxies", "svd:1", "--folder", str(kept)) == 0
    assert run(folder, texts, "--proxies", "svd:2", "--folder", str(kept)) == 2
    assert "holds another audit (settings.proxies is" in capsys.readouterr().err
    (kept / "whole.parquet").write_bytes((kept / "whole.parquet").read_bytes()[:-9])
    assert run(folder, texts, "--proxies", "svd:1", "--folder", str(kept)) == 2
    assert (
        f"whole.parquet is damaged: its checksum is not the one in audit.json; delete it, and run the audit again: rm -r {kept}"
        in (capsys.readouterr().err)
    )


def test_the_report_is_a_notebook_that_was_executed_its_page_and_the_table(folder, texts, tmp_path, capfd):
    """By papermill and Jupyter Book; a report is replaced, anything else is not."""
    kept, report = tmp_path / "kept", tmp_path / "my report"
    given = (folder, texts, "--proxies", "svd:1,16", "one_hot", "--folder", str(kept), "--report", str(report))
    assert run(*given) == 0
    page = (report / "audit.html").read_text(encoding="utf-8")
    assert "On text like that it was made on, SVD of rank 16 predicts what the model predicts in 100" in page
    assert "by tiny-gpt; 95 % intervals over windows" in page
    assert "Markdown object" not in page
    pd.testing.assert_frame_equal(Audit.read(report).table, Audit.read(kept).table)  # all that it takes to run it again
    notebook = nbformat.read(report / "audit.ipynb", 4)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    for made in (page, (report / "audit.ipynb").read_text(encoding="utf-8")):
        assert str(tmp_path) not in made, "a page is for others"
    assert "'.'" in notebook.cells[1].source
    check_folder(report)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    capfd.readouterr()
    assert run(*given[:-1], str(tmp_path / "mine")) == 2
    assert "mine', which is there and holds no report" in capfd.readouterr().err
