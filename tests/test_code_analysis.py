"""What else is asked of a code model: scores, heads that copy, and text that is shown escaped whatever it says."""

from __future__ import annotations

from contextlib import suppress
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from code_samples import function, write_tree
from lib.code.corpora import corpus
from lib.code.languages import CLASSES, NEW
from lib.code.splits import START, VOCABULARY, CodeConfig
from lib.code_analysis import Reading, copying_heads, median_sequence, pooled_heads, read, scores, single_heads
from lib.code_figures import composition_table, examples_html, induction_figure, single_heads_figure, split_name
from lib.faithfulness import METRICS, with_margin
from lib.intervals import Estimate, mean_of
from lib.transformer import Transformer

from lib.claims import code_findings, representative
from lib.errors import InputError
from lib.presets import PRESETS, ModelConfig, Preset, StudyConfig, TaskPreset, TrainingConfig
from lib.proxies import MODEL, Setting
from lib.runs import Run, Study
from lib.split import Split, Task

EVIL = "<script>alert(1)</script> & \"double\" 'single' &lt;"


# A study of code that is trained in a second


def code_preset(location: str) -> TaskPreset:
    return TaskPreset(
        CodeConfig("directory", location, context=32, split_sequences=12, fewest_sequences=5),
        ModelConfig(layers=2, heads=2, width=16, mlp_width=24),
        TrainingConfig(steps=12, batch_size=8, warmup_steps=3, evaluations=2, heldout_sequences=6, checkpoint_every=5),
        StudyConfig(
            grid={-1: {"svd": (2,), "kmeans": (4,)}, 0: {"svd": (2,)}, 1: {"svd": (2,)}},
            each_head={"svd": (2,), "one_hot": (None,)},
            fit_sequences=20,
        ),
        seeds=1,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict:
    """Presets, and an artifacts folder with their study."""
    folder = tmp_path_factory.mktemp("code")
    tree = write_tree(folder / "tree", {"python": 12, "javascript": 2, "c": 2}, functions=8)
    only = write_tree(folder / "python", {"python": 12}, functions=8)
    tasks = {"code": code_preset(str(tree)), "code-python": code_preset(str(only))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIB_ARTIFACTS", str(folder / "artifacts"))
        patch.delenv("LIB_HUMANEVAL_X", raising=False)
        patch.setitem(PRESETS, "tiny-code", Preset("tiny-code", tasks))
        Study("code", "tiny-code").save()
    return {"tasks": tasks, "artifacts": str(folder / "artifacts")}


@pytest.fixture
def study(trained, monkeypatch) -> Study:
    monkeypatch.setenv("LIB_ARTIFACTS", trained["artifacts"])
    monkeypatch.delenv("LIB_HUMANEVAL_X", raising=False)
    monkeypatch.setitem(PRESETS, "tiny-code", Preset("tiny-code", trained["tasks"]))
    return Study("code", "tiny-code")


@pytest.fixture
def run(study) -> Run:
    return study.runs[0]


# Scores


def test_the_accuracy_of_the_model_is_that_in_the_sequences_table(run):
    table, measured = scores(run), run.sequences
    measured = measured[(measured["layer"] == -1) & (measured["proxy"] == "svd") & (measured["head"] == -1)]
    measured = measured[measured["group"] != "margin"]
    keys = ["split", "group", "group_value", "sequence"]
    one = table.astype(dict.fromkeys(keys[:3], str)).set_index(keys).sort_index()
    other = measured.astype(dict.fromkeys(keys[:3], str)).set_index(keys).sort_index()
    assert set(table["split"]) == {"id", "seen_package", "javascript", "c"}
    assert one.index.equals(other.index)
    assert (one["n"] == other["n"]).all()
    np.testing.assert_array_equal(one["accuracy"], other["original_accuracy"])
    assert (table["proxy"] == MODEL.proxy).all()


@torch.no_grad()
def test_margins_are_how_far_the_best_character_is_ahead_of_the_next(run):
    split = with_margin(run.model, run.task.splits["c"])
    logits = run.model(torch.from_numpy(split.tokens.astype(np.int64)))[..., split.candidates].log_softmax(-1)
    ahead = np.diff(np.sort(logits.numpy(), -1)[..., -2:], axis=-1)[..., 0]
    for row, position in zip(*np.nonzero(split.scored), strict=True):
        low, high = split.label("margin", split.groups["margin"][row, position]).removesuffix(" nats").split(" to ")
        assert float(low) - 1e-5 <= ahead[row, position] < float(high) + 1e-5


def test_the_bits_of_the_model_are_those_of_its_distribution_over_characters(run):
    split = run.task.splits["c"]
    with torch.no_grad():
        logits = run.model(torch.from_numpy(split.tokens[:1].astype(np.int64)))[0].numpy().astype(float)
    odds = np.exp(logits[:, 2:])
    chances = odds / odds.sum(1, keepdims=True)
    places = np.flatnonzero(split.scored[0])
    expected = -np.log2([chances[t, split.tokens[0, t + 1] - 2] for t in places]).sum()
    table = scores(run)
    found = table[(table["split"] == "c") & (table["group"] == "") & (table["sequence"] == 0)]
    assert float(found["bits"].iloc[0]) == pytest.approx(expected, rel=1e-4)


def test_counts_of_the_kinds_of_characters_add_up_to_the_whole(run):
    table = scores(run)
    for _, of_split in table.groupby("split", observed=True):
        whole = of_split[of_split["group"] == ""]
        parts = of_split[of_split["group"] == "character"]
        assert set(parts["group_value"]) <= set(CLASSES)
        for column in ("n", "accuracy", "baseline_accuracy"):
            assert parts[column].sum() == whole[column].sum()
        assert parts["bits"].sum() == pytest.approx(whole["bits"].sum(), rel=1e-4)


# Heads that copy


def task_for(context: int) -> Task:
    tokens = np.array([[START, 2, 3, *[0] * (context - 3)]])
    scored = np.zeros(tokens.shape, bool)
    scored[:, :2] = True
    split = Split("id", tokens, scored, np.arange(2, len(VOCABULARY)))
    return Task("code", VOCABULARY, context, tokens, {"id": split})


class Known(Transformer):
    """Every head attends to the place that `attends(query)` says, and nowhere else."""

    def __init__(self, context: int, attends: list):
        super().__init__(
            ModelConfig(layers=1, heads=len(attends), width=4 * len(attends), mlp_width=4), len(VOCABULARY), context
        )
        self.attends = attends

    def run(self, residual, rules=None, *arguments, **options):
        batch, length, _ = residual.shape
        pattern = torch.zeros(batch, len(self.attends), length, length)
        for head, attends in enumerate(self.attends):
            for query in range(length):
                pattern[:, head, query, attends(query)] = 1
        rules[0].pattern = pattern
        return residual


def test_heads_that_attend_to_the_token_before_are_found():
    """With real weights: each position is told apart, and queries ask for the one before."""
    context = 21
    model = Transformer(ModelConfig(layers=1, heads=1, width=context, mlp_width=4), len(VOCABULARY), context)
    with torch.no_grad():
        model.token_embedding.weight.zero_()
        model.positions.copy_(torch.eye(context))
        before = 10 * torch.eye(context).roll(1, 1)  # maps position t to t - 1
        model.blocks[0].attention.qkv.weight.copy_(torch.cat([before, torch.eye(context), torch.eye(context)]))
    (row,) = copying_heads(SimpleNamespace(model=model, task=task_for(context), seed=0)).itertuples()
    assert row.previous_token > 0.99
    assert row.induction < 0.01


@pytest.mark.parametrize("context", [21, 22])
def test_copying_scores_of_heads_whose_attention_is_known(context):
    length = (context - 1) // 2

    def induction(query: int) -> int:
        """In the second half, the token after the previous occurrence of the present one; before, START."""
        return query - length + 1 if query > length else 0

    model = Known(context, [lambda t: max(0, t - 1), induction, lambda t: 0, lambda t: t])
    table = copying_heads(SimpleNamespace(model=model, task=task_for(context), seed=3))
    assert table[["seed", "layer", "head"]].to_numpy().tolist() == [[3, 0, head] for head in range(4)]
    assert table["previous_token"].tolist() == pytest.approx([1, 1 / (2 * length), 1 / (2 * length), 0]), (
        "START is before the first"
    )
    assert table["induction"].tolist() == pytest.approx([0, 1, 0, 0])


def test_scores_of_heads_are_the_same_each_time(run):
    first = copying_heads(run)
    pd.testing.assert_frame_equal(first, copying_heads(run))
    assert len(first) == 4
    assert first[["previous_token", "induction"]].to_numpy().min() >= 0
    assert first[["previous_token", "induction"]].to_numpy().max() <= 1


def test_heads_are_pooled_by_whether_they_do_induction(run):
    setting = Setting("svd", 2, 0, 0)
    heads = pd.DataFrame({"layer": [0, 0, 1, 1], "head": [0, 1, 0, 1], "induction": [0.1, 0.19, 0.2, 0.0]})
    pooled = pooled_heads(run, setting, heads)
    table = run.sequences
    single = table[(table["proxy"] == "svd") & (table["head"] >= 0) & (table["complexity"] == 2)]
    assert set(single["head"]) == {0, 1}
    is_induction = (single["layer"] == 1) & (single["head"] == 0)
    for group, rows in ((1, single[is_induction]), (0, single[~is_induction])):
        for split in ("id", "c"):
            found = pooled[(pooled["head"] == group) & (pooled["split"] == split) & (pooled["group"] == "")]
            expected = rows[(rows["split"] == split) & (rows["group"] == "")]
            assert found["n"].sum() == expected["n"].sum()
            for metric in METRICS:
                assert found[metric].sum() == pytest.approx(expected[metric].sum(), rel=1e-5)
    assert set(pooled["layer"]) == {-1}
    assert not pooled.duplicated(["split", "group", "group_value", "sequence", "head"]).any()


def test_a_proxy_without_complexity_is_pooled_as_well(run):
    pooled = pooled_heads(run, Setting("one_hot", None, 0, 0), copying_heads(run).assign(induction=[0.9, 0, 0, 0]))
    assert set(pooled["proxy"]) == {"one_hot"}
    assert set(pooled["head"]) == {0, 1}


@pytest.mark.parametrize("kind", ["", CLASSES[NEW], CLASSES[-1]])
def test_agreement_of_single_heads_is_that_of_their_setting(study, kind):
    table = single_heads(study, kind)
    assert len(table) == 2 * 4 * (table["split"].nunique() if kind else len(study.splits))  # proxies, heads, splits
    whole = study.bootstrap
    for row in table.itertuples():
        setting = Setting(row.proxy, row.complexity or None, row.layer, row.head)
        group = ("character", kind) if kind else ()
        assert row.agreement == pytest.approx(whole.estimate(setting, row.split, "same_prediction", *group).value, abs=1e-6)


def test_figures_of_single_heads_show_every_head_and_seed(study):
    figure = single_heads_figure(study, ["c", "javascript"])
    above, below = figure.axes[:2], figure.axes[2:4]
    agreement = single_heads(study)
    for ax, below_it, proxy in zip(above, below, ("svd", "one_hot"), strict=True):
        on_id = agreement[(agreement["proxy"] == proxy) & (agreement["split"] == "id")]["agreement"]
        (shown,) = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 4]
        assert sorted(shown) == pytest.approx(sorted(on_id))
        assert len([line for line in below_it.lines if len(line.get_ydata()) == 4]) == 1
    heads = copying_heads(study.runs[0])
    of_induction = induction_figure(study, heads, CLASSES[NEW])
    for ax in of_induction.axes[:2]:
        assert sorted(ax.collections[0].get_offsets()[:, 0]) == pytest.approx(sorted(heads["induction"]))
    plt.close("all")


# What is shown


class Elements(HTMLParser):
    """The elements, titles and text of a piece of HTML."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def reading(text: str, model: str, proxy: str) -> Reading:
    agrees = np.array([m == p for m, p in zip(model, proxy, strict=True)])
    return Reading(text, list(model), list(proxy), agrees)


@pytest.mark.parametrize("proxy", [EVIL, EVIL[::-1], "x" * len(EVIL)], ids=["agrees", "differs", "differs throughout"])
def test_what_a_reading_shows_is_text_whatever_it_says(proxy):
    html = reading(EVIL, EVIL, proxy).to_html()
    shown = Elements(html)
    assert shown.text == EVIL
    assert all(f"&{name};" in html for name in ("lt", "gt", "amp", "quot"))
    assert "<script" not in html
    assert [tag for tag, _ in shown.found[:1]] == ["pre"]
    assert [tag for tag, _ in shown.found[1:]] == ["span"] * sum(m != p for m, p in zip(EVIL, proxy, strict=True))
    assert all(set(attributes) == {"class", "title"} for _, attributes in shown.found[1:])


@pytest.mark.parametrize("character", list("<>&\"'"))
def test_titles_of_a_reading_are_escaped(character):
    (_, (tag, attributes)) = Elements(reading("x", character, "y").to_html()).found
    assert (tag, attributes) == ("span", {"class": "differs neither", "title": f"model: {character}, proxy: y"})


def test_a_reading_marks_where_model_and_proxy_part_ways_and_who_is_right():
    found = Elements(reading("a\nb c", "a x z", "ay\nb ").to_html())
    assert found.text == "a↵\nb c"
    assert [attributes["class"] for _, attributes in found.found[1:]] == [
        "differs neither", "differs neither", "differs model", "differs neither",
    ]  # fmt: skip
    assert [attributes["title"] for _, attributes in found.found[1:]][:2] == [
        "model: blank, proxy: y",
        "model: x, proxy: line feed",
    ]
    right = Elements(reading("ab", "ax", "yb").to_html())
    assert [attributes["class"] for _, attributes in right.found[1:]] == ["differs model", "differs proxy"]


def test_examples_are_shown_as_text_whatever_they_say(tmp_path):
    folder = tmp_path / "<b>bold & more"
    folder.mkdir()
    code = f"def evil():\n    # {EVIL}\n    return '</pre><img src=x onerror=alert(1)>' + 'more and more of it'"
    (folder / "<i>.py").write_text(code + "\n")
    html = examples_html(corpus("directory", str(tmp_path), 10, 10))
    shown = Elements(html)
    assert [tag for tag, _ in shown.found] == ["p", "b", "pre"]
    assert shown.text == f"Python, <b>bold & more: <b>bold & more/<i>.py{code}"
    assert "<script" not in html
    assert "<img" not in html


def test_the_example_of_a_language_is_the_function_of_the_length_asked_for(tmp_path):
    found = corpus("directory", str(write_tree(tmp_path / "t", {"python": 1, "c": 1}, 9)), 100, 100)
    shown = Elements(examples_html(found, 200)).text
    for name in ("python", "c"):
        nearest = min((function(name, n) for n in range(9)), key=lambda code: abs(len(code) - 200))
        assert nearest in shown


def test_the_composition_of_a_corpus(tmp_path):
    found = corpus("directory", str(write_tree(tmp_path / "t", {"python": 2, "c": 1}, 5)), 100, 100)
    table = composition_table(found)
    assert list(table.index) == ["Python", "C"]
    assert table.loc["Python", ["packages", "functions"]].tolist() == ["2", "10"]
    assert table.loc["C", "largest package"] == "c_0 (100%)"


def test_a_reading_of_the_model_is_what_the_table_measured(run):
    setting = Setting("svd", 2, -1)
    row = median_sequence(run, "c", setting)
    found = read(run, "c", row, setting)
    table = run.sequences
    measured = table[
        (table["split"] == "c") & (table["group"] == "") & (table["sequence"] == row) & (table["layer"] == -1)
        & (table["proxy"] == "svd") & (table["head"] == -1)
    ]  # fmt: skip
    assert len(found.text) == int(measured["n"].iloc[0])
    assert int(found.agrees.sum()) == int(measured["same_prediction"].iloc[0])
    assert sum(m == c for m, c in zip(found.model, found.text, strict=True)) == int(measured["original_accuracy"].iloc[0])
    assert Elements(found.to_html()).text.replace("↵", "") == found.text


def test_the_sequence_shown_is_of_median_agreement_among_the_long_ones(run):
    setting = Setting("svd", 2, -1)
    table = run.sequences.query("split == 'c' and `group` == '' and layer == -1 and proxy == 'svd' and head == -1")
    long = table[table["n"] >= run.task.context // 2]
    shares = np.sort(long["same_prediction"] / long["n"])
    chosen = long[long["sequence"] == median_sequence(run, "c", setting)].iloc[0]
    assert chosen["same_prediction"] / chosen["n"] == shares[len(shares) // 2]


def test_splits_have_names_that_people_read():
    assert [split_name(s) for s in ("id", "cpp", "humaneval_x/javascript")] == ["id", "C++", "HumanEval-X: JavaScript"]


# Claims


def test_the_claims_on_code_are_tested_but_one_seed_gives_no_verdict(study):
    findings = code_findings(study)
    assert {finding.claim for finding in findings} == {5, 6}
    assert {finding.verdict for finding in findings} == {"inconclusive"}
    languages = [f for f in findings if "more often on id than on" in f.statement]
    assert [f.statement.split()[-1] for f in languages] == ["C", "JavaScript"] * 2
    gap = study.bootstrap.gap(representative(study, -1, "seen_package", "svd"), "c", reference="id")
    assert languages[0].effect.value == pytest.approx(100 * gap.value)
    assert any("LIB_HUMANEVAL_X" in finding.reason for finding in findings)


def test_the_setting_that_stands_for_a_proxy_is_chosen_on_seen_package_or_none_was_measured(study):
    assert representative(study, -1, "seen_package", "svd") == Setting("svd", 2, -1)
    assert representative(study, -1, "seen_package", "weight_svd") is None


def test_a_study_without_another_language_has_findings_that_say_so(study, tmp_path, monkeypatch):
    """Or its corpus is refused in the first place, with an `InputError` either way."""
    monkeypatch.setenv("LIB_ARTIFACTS", str(tmp_path))
    with suppress(InputError):
        assert {finding.verdict for finding in code_findings(Study("code-python", "tiny-code"))} == {"inconclusive"}


def test_the_mean_of_estimates_is_taken_resample_by_resample():
    one, other = Estimate(0.2, np.array([0.1, 0.3]), 3, 50), Estimate(0.6, np.array([0.5, 0.9]), 2, 80)
    mean = mean_of([one, other])
    assert mean.value == pytest.approx(0.4)
    np.testing.assert_allclose(mean.resamples, [0.3, 0.6])
    assert (mean.seeds, mean.positions) == (2, 50)
