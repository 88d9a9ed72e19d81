"""The page "Extend it" does what it says: a proxy, a measure, a task, a model, a chapter of one's own, each as it stands there.

Only the size differs: where the page builds on `smoke`, these tests build on a preset that trains in a second.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT
from plugins import plugins_forgotten
from readable import seen
from torch import Tensor

from lib import book, executing, presets
from lib.chapters.scorecard import Scorecard
from lib.cli import main
from lib.experiment import simplifications_of
from lib.measuring.measures import MEASURES
from lib.models.base import Capture, Positions, attend_as_usual
from lib.proxies import MODEL, PROXIES, TRAINING, Fitter, Simplification
from lib.split import Sequences
from lib.studies import Study
from lib.tasks import TASKS

pytestmark = pytest.mark.slow

PAGE = (ROOT / "book" / "extend.md").read_text(encoding="utf-8")
CODE = re.findall(r"(?ms)^```(?:python|toml)\n(.*?)^```", PAGE)
BLOCKS = {text.partition("\n")[0].removeprefix("# "): text for text in CODE}  # each begins with a comment that names it
PLUGIN = ("a proxy", "a measure", "a task")  # what the file mine.py is made of
COMMANDS = [shlex.split(line.partition(" -m lib ")[2]) for line in re.findall(r"^\.venv/bin/python .*", PAGE, re.MULTILINE)]
NAME, LABEL, MEASURE = "top_coordinates", "top coordinates", "choice_kept"


def test_all_of_the_page_is_tested_here():
    assert set(BLOCKS) == {
        *PLUGIN,
        "as arrays",
        "a model",
        "measuring it",
        "where it fails",
        "a cell",
        "mine.toml",
        "first.toml",
    }
    assert ["evaluate", "dyck", "--preset", "mine.toml"] in COMMANDS
    assert {command[0] for command in COMMANDS} == {"evaluate", "claims", "book"}  # `book`: tests/test_book.py


def run_block(name: str, **variables: object) -> dict:
    """Execute a block of the page with `variables`; returns all that there are then, and as `shown` what it shows."""
    *body, last = ast.parse(BLOCKS[name]).body
    if isinstance(last, ast.Expr):
        last = ast.Assign([ast.Name("shown", ast.Store())], last.value)
    exec(compile(ast.fix_missing_locations(ast.Module([*body, last], [])), name, "exec"), variables)
    return variables


# A user's folder


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory) -> Path:
    """A folder with the page's files, in which its commands were run, one process each; results are in `artifacts`."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.py").write_text("\n\n".join(BLOCKS[name] for name in PLUGIN), encoding="utf-8")
    assert 'inherits = "smoke"' in BLOCKS["mine.toml"]
    (folder / "mine.toml").write_text(BLOCKS["mine.toml"].replace('"smoke"', json.dumps(tiny)), encoding="utf-8")
    (folder / "first.toml").write_text(BLOCKS["first.toml"], encoding="utf-8")
    environment = {**os.environ, "LIB_ARTIFACTS": str(folder / "artifacts")}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "lib", *command], cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for command in COMMANDS
        if command[0] == "evaluate"
    ]
    for process in started:
        errors = process.communicate()[1]
        assert process.returncode == 0, errors.decode()
    return folder


@pytest.fixture
def user(folder, monkeypatch):
    """Being in that folder, in a process that has not loaded the plugin yet; what it registers is gone afterwards."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LIB_ARTIFACTS", str(folder / "artifacts"))
    with plugins_forgotten():
        yield


@pytest.fixture
def dyck(user) -> Study:
    return presets.load("mine.toml").study("dyck")


@pytest.fixture
def first(user) -> Study:
    return presets.load("first.toml").study("first")


@pytest.fixture
def table(folder) -> Callable[[str], pd.DataFrame]:
    """A function that reads the results table of a study of the folder, such as `mine/dyck`."""
    return lambda study: pd.read_parquet(folder / "artifacts" / study / "faithfulness.parquet")


def command(capsys, *arguments: str) -> str:
    """What a command prints; it has to succeed."""
    status = main(arguments)
    printed = capsys.readouterr()
    assert status == 0, printed.err
    return printed.out


@pytest.mark.parametrize("study", ["dyck", "first"])
def test_another_process_finds_that_nothing_is_to_be_done(study, request):
    """The plugin's code is part of what results depend on, and it is the same code."""
    for run in request.getfixturevalue(study).runs:
        assert "mine.py" in run.experiment.measuring_code()
        assert not run.measure()


def test_other_tests_do_not_see_what_the_plugin_brings():
    assert NAME not in PROXIES
    assert MEASURE not in MEASURES
    assert "first_token" not in TASKS


# A proxy


def test_the_proxy_joins_every_grid_of_the_page_s_own_preset(tmp_path):
    """At a quarter of the width of a head, wherever the preset measures proxies at all."""
    (tmp_path / "mine.py").write_text(BLOCKS["a proxy"], encoding="utf-8")
    (tmp_path / "mine.toml").write_text(BLOCKS["mine.toml"], encoding="utf-8")
    with plugins_forgotten():
        smoke, mine = presets.load("smoke"), presets.load(str(tmp_path / "mine.toml"))
        assert [*mine.experiments] == [*smoke.experiments]
    for name, experiment in mine.experiments.items():
        measuring, before = experiment.measuring, smoke.experiments[name].measuring
        own = (experiment.model.head_width // 4,)
        for part in ("grid", "along_training", "refitted"):
            extended, given = getattr(measuring, part), getattr(before, part)
            assert extended == {layer: {NAME: own, **proxies} for layer, proxies in given.items()}, (name, part)
        assert measuring.each_head == ({NAME: own, **before.each_head} if before.each_head else {})


def test_the_proxy_at_full_width_changes_nothing(dyck):
    run, width = dyck.runs[0], dyck.experiment.model.head_width
    full = Simplification(NAME, width)
    tokens = torch.from_numpy(run.data.splits["unseen_depth"].tokens.astype(np.int64))
    with torch.no_grad():
        torch.testing.assert_close(run.model(tokens, run.fitter.rules(full)), run.model(tokens), rtol=1e-5, atol=1e-5)
    (block,) = run.compare([run.data.splits["iid"]], [full])
    np.testing.assert_array_equal(block.sums[full, "same_prediction"], block.columns["n"])


def test_the_proxy_keeps_the_coordinates_of_largest_variance(dyck):
    head = dyck.runs[0].fitter.head(1, 0)
    both = (head.queries, head.keys)
    for vectors, kept in zip(both, PROXIES[NAME].fit(head, 3).simplify(*both), strict=True):
        largest = vectors.var(0).topk(3).indices
        changed = (kept != vectors).any(0)
        assert sorted((~changed).nonzero().flatten().tolist()) == sorted(largest.tolist())
        torch.testing.assert_close(kept.mean(0), vectors.mean(0))


def test_the_proxy_is_in_the_results_wherever_others_are(dyck, table):
    results = table("mine/dyck")
    measured = [s for s in dyck.experiment.simplifications() if s.proxy == NAME]
    assert {s.layer for s in measured} == {0, 1}
    assert {s.fit_on for s in measured} == {TRAINING, *dyck.experiment.measuring.refitted_on}
    keys = ["layer", "head", "complexity", "fit_on"]
    found = results[results["proxy"] == NAME]
    assert {*found[keys].itertuples(index=False, name=None)} == {(s.layer, s.head, s.complexity, s.fit_on) for s in measured}
    for column in ("split", "group", "metric", "seed"):
        assert {*found[column]} == {*results[column]}, column
    along = [s for s in simplifications_of(dyck.experiment.measuring.along_training) if s.proxy == NAME]
    assert along
    assert all(at.has(s, "iid") for at in dyck.along_training.values() for s in along)


def test_claims_are_tested_on_the_proxy(user, capsys):
    found = json.loads(command(capsys, "claims", "--preset", "mine.toml", "--json"))
    about, others = ([cell for cell in found if cell["proxy"] == proxy and cell["reading"] != "C"] for proxy in (NAME, "svd"))
    where = ("claim", "reading", "split", "reference")
    assert [[cell[key] for key in where] for cell in about] == [[cell[key] for key in where] for cell in others]
    assert {cell["claim"] for cell in about} == {1, 2, 3}
    assert LABEL in command(capsys, "claims", "--preset", "mine.toml")


def test_the_scorecard_shows_the_proxy(dyck):
    scorecard = Scorecard([dyck])
    assert LABEL in scorecard.matrices("A")
    assert LABEL in scorecard.numbers()


def test_live_figures_offer_the_proxy_at_every_rank_and_python_computes_it(dyck):
    """How pages show it once it says its arrays, tests/test_live.py tests."""
    from lib.tasks.dyck.live import LiveBrackets

    live = LiveBrackets(dyck, dyck.simplified("svd", 2, 1))
    (family,) = [family for family in live.config()["families"] if family["name"] == NAME]
    assert (family["label"], family["arrays"]) == (LABEL, False)
    assert family["complexities"] == [list(range(1, dyck.experiment.model.head_width + 1))] * 2
    answers = [live.answer({"sentence": "(a (b b) a)", "proxy": NAME, "complexity": c, "layer": 1, "seed": 0}) for c in (1, 2)]
    assert answers[0] != answers[1]


# A measure


def test_the_measure_joins_every_table(table):
    for study in ("mine/dyck", "first/first"):
        results = table(study)
        found, other = (results[results["metric"] == metric] for metric in (MEASURE, "same_prediction"))
        rest = [column for column in results if column not in ("metric", "value")]
        pd.testing.assert_frame_equal(found[rest].reset_index(drop=True), other[rest].reset_index(drop=True))
        assert found["value"].gt(0).all()


def test_the_measure_has_estimates(dyck):
    (simplification,) = dyck.family(NAME, layer=1)
    low, high = dyck.estimates.estimate(simplification, "iid", MEASURE).interval
    assert 0 < low <= high < 2
    own = dyck.estimates.estimate(MODEL, "iid", MEASURE)
    assert (own.value, *own.interval) == (1, 1, 1), "the model keeps all of its own choice"


# A task


def test_the_task_is_trained_and_measured_on_its_splits(first, table):
    results = table("first/first")
    assert {*results["split"]} == {"short", "long"} == {*first.splits}
    assert {*results["seed"]} == {0, 1}
    assert {"svd", "one_hot", NAME} == {*results["proxy"]}
    of_whole = results[(results["group"] == "") & (results["metric"] == "accuracy")]
    assert (of_whole["n"] == 100).all(), "one position a sequence"
    by_first = results[(results["group"] == "first") & (results["split"] == "long") & (results["metric"] == "accuracy")]
    assert {*by_first["group_value"]} == {"1", "2", "3", "4", "5"}
    assert (by_first.groupby(["seed", "layer", "proxy", "complexity"], dropna=False)["n"].sum() == 100).all()


def test_the_task_asks_for_the_token_that_stood_first(first):
    for split in first.runs[0].data.splits.values():
        np.testing.assert_array_equal(split.targets[split.scored], split.tokens[:, 0])
        np.testing.assert_array_equal(split.covariates["first"][split.scored], split.tokens[:, 0])


def test_the_task_has_estimates_and_gaps(first):
    (simplification,) = first.family("one_hot", layer=1)
    gap = first.estimates.gap(simplification, "long", first.task.reference)
    parts = [first.estimates.estimate(simplification, split, "same_prediction") for split in ("short", "long")]
    assert gap.value == pytest.approx(parts[0].value - parts[1].value)
    assert gap.positions == 200


def test_what_the_task_claims_is_tested(user, capsys):
    assert ["claims", "--preset", "first.toml"] in COMMANDS
    found = json.loads(command(capsys, "claims", "--preset", "first.toml", "--json"))
    assert {finding["claim"] for finding in found} == {7}
    assert {cell["proxy"] for cell in found} == {NAME, "svd", "one_hot"}
    assert {cell["split"] for cell in found} == {"long"}


def test_the_task_has_a_scorecard_and_training_curves(first):
    from lib.figures.training import training_figure

    assert all(label in Scorecard([first]).matrices("A") for label in (LABEL, "SVD", "one-hot"))
    (curves,) = training_figure(first, first.task.shown(first.splits)).figure.axes
    assert len(curves.lines) == 2


def test_the_command_line_knows_the_task(user, capsys):
    assert json.loads(command(capsys, "data", "first", "--preset", "first.toml"))["symbols"] == 5
    assert main(["evaluate", "first", "--preset", "first.toml", "--sentences", "first.toml"]) == 2
    assert "does not read sentences" in capsys.readouterr().err


# A model


@pytest.fixture(scope="module")
def model():
    return run_block("a model")["Fading"](vocabulary=9)


TOKENS = torch.randint(0, 9, (4, 12), generator=torch.Generator().manual_seed(0))


def test_the_model_is_measured_like_ours(capsys):
    measured = run_block("measuring it", **run_block("a model"))
    number = r"-?\d\.\d{3}"
    assert re.fullmatch(rf"{number} \[{number}, {number}\]\n", capsys.readouterr().out)
    run_block("where it fails", **measured)
    *by_depth, last = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in by_depth] == [str(depth) for depth in range(1, len(by_depth) + 1)]
    assert re.fullmatch(rf"at equal depth {number} \[{number}, {number}\], foreseen 0\.\d{{3}}", last)


def logits(model, tokens: Tensor, rules=None) -> Tensor:
    return model.unembed(model.run(model.embed(tokens), rules))


@pytest.fixture(params=["no rule", "usual rule", "svd", "one_hot"])
def rules(request, model) -> dict:
    if request.param in PROXIES:
        fitter = Fitter(model, {TRAINING: Sequences(tokens=TOKENS.numpy(), lengths=np.full(4, 12))})
        return fitter.rules(Simplification(request.param, 2 if PROXIES[request.param].parameter else None))
    return {0: attend_as_usual} if request.param == "usual rule" else {}


def test_the_model_does_not_look_ahead(model, rules):
    changed = TOKENS.clone()
    changed[:, 7:] = (changed[:, 7:] + 1) % 9
    torch.testing.assert_close(logits(model, changed, rules)[:, :7], logits(model, TOKENS, rules)[:, :7])
    assert not torch.equal(logits(model, changed, rules)[:, 7:], logits(model, TOKENS, rules)[:, 7:])


def test_the_model_resumed_is_the_whole_model(model, rules):
    residual = model.embed(TOKENS)
    for layer in range(model.layers + 1):
        resumed = model.run(model.run(residual, rules, stop=layer), rules, start=layer)
        torch.testing.assert_close(resumed, model.run(residual, rules))


def test_the_model_at_chosen_positions_is_the_same_as_everywhere(model, rules):
    wanted = torch.rand(TOKENS.shape, generator=torch.Generator().manual_seed(0)) < 0.3
    found = model.run(model.embed(TOKENS), rules, positions=Positions(wanted))
    torch.testing.assert_close(found, model.run(model.embed(TOKENS), rules)[wanted])


def test_the_usual_rule_and_full_rank_svd_leave_the_model_as_it_is(model):
    fitter = Fitter(model, {TRAINING: Sequences(tokens=TOKENS.numpy(), lengths=np.full(4, 12))})
    for rules in ({0: attend_as_usual}, fitter.rules(Simplification("svd", model.head_width))):
        torch.testing.assert_close(logits(model, TOKENS, rules), logits(model, TOKENS))


def test_the_attention_of_the_model_is_a_distribution_that_fades(model):
    seen = Capture(lambda q, k, attend: attend(torch.zeros_like(q), k))  # all keys alike but for their distance
    model.run(model.embed(TOKENS), {0: seen})
    torch.testing.assert_close(seen.pattern.sum(-1), torch.ones(4, 1, 12))
    assert (seen.pattern[..., -1, :].diff(dim=-1) > 0).all()


# A chapter


SENTENCE = r"The gap is [−\d.]+ \[[−\d.]+, [−\d.]+\] points\."


def test_the_cell_shows_a_sentence(user):
    assert re.fullmatch(SENTENCE, seen(run_block("a cell", preset="mine.toml", seeds=2)["shown"].data))


def test_a_notebook_with_that_cell_becomes_a_chapter(user, folder, tmp_path, monkeypatch):
    (metadata,) = (json.loads(text) for text in re.findall(r"(?ms)^```json\n(.*?)^```", PAGE))
    code = nbformat.v4.new_code_cell
    cells = [code('preset = "quick"\nseeds = 1', metadata={"tags": ["parameters"]}), code(BLOCKS["a cell"])]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={**metadata, "kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "mine.ipynb")
    monkeypatch.setattr(executing, "NOTEBOOKS", tmp_path)
    preset = presets.load(str(folder / "mine.toml"))
    assert book.notebooks(preset) == {"mine": ["dyck"]}
    assert not book.is_executed(preset, "mine")
    executed = nbformat.read(book.execute(preset, "mine"), 4)
    assert re.fullmatch(SENTENCE, seen(executed.cells[-1].outputs[-1].data["text/markdown"]))
    assert book.is_executed(preset, "mine")
