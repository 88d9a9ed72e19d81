"""The benchmarks compare ways that do the same, say how they are used, and refuse what they cannot use. No time is asserted.

Small stand-ins take the place of other projects, so that nothing but this repository is needed; with `PEERS` set to a folder of
their checkouts, as for `make bench`, each benchmark runs against these as well.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.config import checked
from lib.proxies import Simplification
from lib.tasks.dyck.language import Automaton, sample_structures, with_types
from lib.tasks.dyck.task import DyckTask

pytestmark = pytest.mark.slow  # as a whole
ROOT = Path(__file__).resolve().parent.parent
NUMBER = r"[\d.,e+-]+"
ROW = rf": {NUMBER} times as fast \({NUMBER} to {NUMBER} over 1 rounds\) on 1 thread\n  .*; against .*\n  .*: at most {NUMBER} "

GENERATOR = """
import random, string
from util import test_continuations
from vocabulary import WordVocabulary

class DyckPDFA:
    def __init__(self, max_stack_depth, bracket_types):
        self.depth, self.types = max_stack_depth, string.ascii_lowercase[:bracket_types]

    def sample(self, length_min, length_max=-1):
        words, stack, deepest = [], [], 0
        while True:
            if not stack and len(words) >= length_min and random.random() < P_END:
                return [*words, "END"], deepest, 0, []
            if not stack or (len(stack) < self.depth and random.random() < 0.5):
                stack.append(random.choice(self.types))
                words.append("(" + stack[-1])
            else:
                words.append(CLOSE(stack.pop()) + ")")
            deepest = max(deepest, len(stack))
"""
MODEL = """
import torch, types
from torch import nn
from torch.nn import functional as F

class GPTConfig(types.SimpleNamespace):
    pass

class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        norm = lambda: nn.LayerNorm(c.n_embd, bias=c.bias)
        linear = lambda n, m: nn.Linear(n * c.n_embd, m * c.n_embd, bias=c.bias)
        self.ln_1, self.ln_2, self.heads = norm(), norm(), c.n_head
        self.attn = nn.ModuleDict(dict(c_attn=linear(1, 3), c_proj=linear(1, 1)))
        self.mlp = nn.ModuleDict(dict(c_fc=linear(1, 4), c_proj=linear(4, 1)))

    def forward(self, x):
        parts = self.attn.c_attn(self.ln_1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn.c_proj(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp.c_proj(F.ACTIVATION(self.mlp.c_fc(self.ln_2(x))))

class GPT(nn.Module):
    def __init__(self, c):
        super().__init__()
        of = dict(wte=nn.Embedding(c.vocab_size, c.n_embd), wpe=nn.Embedding(c.block_size, c.n_embd))
        of |= dict(h=nn.ModuleList(Block(c) for _ in range(c.n_layer)), ln_f=nn.LayerNorm(c.n_embd, bias=c.bias))
        self.transformer, self.lm_head = nn.ModuleDict(of), nn.Linear(c.n_embd, c.vocab_size, bias=False)
        self.transformer.wte.weight = self.lm_head.weight
        for name, p in self.named_parameters():
            nn.init.normal_(p, std=0.02) if p.dim() > 1 else nn.init.zeros_(p) if "bias" in name else None

    def forward(self, tokens, targets):
        x = self.transformer.wte(tokens) + self.transformer.wpe(torch.arange(tokens.shape[1]))
        for block in self.transformer.h:
            x = block(x)
        logits = self.lm_head(self.transformer.ln_f(x))
        return logits, F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
"""
TRAIN = """
import sys
iters = next(int(a.partition("=")[2]) for a in sys.argv if a.startswith("--max_iters"))
def context():
    return nullcontext() if device_type == 'cpu' else torch.amp.autocast(device_type=device_type, dtype=ptdtype)
for i in range(iters + 1):
    print(f"iter {i}: loss 4.5, time {100 + i:.2f}ms, mfu -100.00%")
"""
LENS = """
from transformers import GPT2LMHeadModel

class TransformerBridge:
    @staticmethod
    def boot_transformers(folder, hf_model, device, dtype):
        bridge = TransformerBridge()
        bridge.model = hf_model.eval()
        return bridge

    def __call__(self, tokens):
        return self.run_with_hooks(tokens, [])

    def run_with_cache(self, tokens, names_filter):
        cache = {}
        self.run_with_hooks(tokens, [(name, lambda x, hook: cache.setdefault(hook.name, x)) for name in names_filter])
        return None, cache

    def run_with_hooks(self, tokens, fwd_hooks):
        handles = []
        for name, function in fwd_hooks:
            layer, side = int(name.split(".")[1]), name.split(".")[3]
            handles.append(self.model.transformer.h[layer].attn.c_attn.register_forward_hook(self.hook(name, side, function)))
        logits = self.model(tokens).logits
        for handle in handles:
            handle.remove()
        return logits

    def hook(self, name, side, function):
        def replaced(module, given, output):
            parts = list(output.chunk(3, -1))
            i = "qk".index(side)
            heads = parts[i].unflatten(-1, (self.model.config.n_head, -1))
            parts[i] = function(heads, type("Hook", (), {"name": name})).flatten(2)
            return __import__("torch").cat(parts, -1)
        return replaced
"""


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """The command. Python puts a script's own folder first; here nothing is published but into a folder of the test's."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    bench = importlib.import_module("bench")
    monkeypatch.setattr(bench, "PUBLISHED", tmp_path / "published.json")
    monkeypatch.setattr(bench, "PAGE", tmp_path / "speed.md")
    threads = torch.get_num_threads()
    yield bench
    torch.set_num_threads(threads)


@pytest.fixture
def run(bench, ended):
    """A function that runs the command: exit status, and what it printed to stdout and stderr."""
    return partial(ended, bench.main)


@pytest.fixture
def peers(tmp_path):
    """A function that makes a folder of stand-ins for other projects, with changes of their text."""

    def peers(**changes: str) -> Path:
        texts = {
            "structural-grokking/data_utils/dyck_helpers.py": GENERATOR,
            "nanoGPT/model.py": MODEL,
            "nanoGPT/train.py": TRAIN,
            "nanoGPT/configurator.py": "",
            "transformer-lens/site/transformer_lens/model_bridge.py": LENS,
            "transformer-lens/site/transformer_lens/__init__.py": "",
            "transformer-lens/bin/python": f'#!/bin/sh\nPYTHONPATH="{tmp_path}/peers/transformer-lens/site" exec PYTHON "$@"\n',
        }
        for name, text in texts.items():
            path = tmp_path / "peers" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            usually = {"P_END": "0.5", "CLOSE": "", "ACTIVATION": "gelu", "time {": "time {"}
            for part, usual in {**usually, "exec PYTHON": f"exec '{sys.executable}'"}.items():
                text = text.replace(part, changes.get(part, usual))
            path.write_text(text)
            path.chmod(0o755)
        return tmp_path / "peers"

    return peers


SMALL = "--small", "--rounds", 1


@pytest.mark.parametrize("name", ["sweep", "measuring-code", "precision", "audit-whole", "audit-layers-once"])
def test_ours_is_compared_with_other_ways_of_ours(name, run):
    status, out, err = run(*SMALL, "--only", name)
    assert (status, err) == (0, "")
    assert re.match(name + ROW, out), out
    assert re.search(r"\non .*processor .+, torch 2\..*, cores \d+", out)


@pytest.mark.parametrize("name", ["dyck-sampler", "training-code", "training-code-bfloat16", "training-dyck", "audit-lens"])
def test_ours_is_compared_with_other_projects(name, run, peers):
    status, out, err = run(*SMALL, "--only", name, "--peers", peers())
    assert (status, err) == (0, "")
    assert re.match(name + ROW, out), out
    assert re.search(r"(structural-grokking|nanoGPT|transformer-lens) of an unknown commit$", out.strip()), out


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("dyck-sampler", {"P_END": "0.25"}, "distribution of length"),
        ("dyck-sampler", {"CLOSE": "(lambda opened: 'a')"}, "annotated otherwise"),
        ("training-dyck", {"ACTIVATION": "relu"}, "logits in float32"),
        ("training-code-bfloat16", {"ACTIVATION": "silu"}, "logits in bfloat16"),
    ],
)
def test_what_does_something_else_is_not_timed(name, changes, why, run, peers):
    status, out, err = run(*SMALL, "--only", name, "--peers", peers(**changes))
    assert (status, out) == (1, "")
    assert re.search(rf"against .*: .*{why}.*: {NUMBER} apart, but at most {NUMBER} is allowed; not timed", err), err


def test_a_contest_without_agreement_does_not_begin(bench):
    harness = importlib.import_module("harness")

    def never() -> float:
        raise AssertionError("timed")

    for largest in (2.0, float("nan")):
        contest = harness.Contest(never, never, [harness.Difference("something", largest, 1.0)])
        row = harness.Benchmark("work", "another", lambda *_, contest=contest: contest)
        with pytest.raises(harness.Disagreement, match="something"):
            harness.measured(row, None, threads=1, rounds=1)


def test_the_sweep_is_compared_at_every_scored_position(bench):
    sweep = importlib.import_module("rank_sweep")
    dataset = checked(DyckTask, {"training_sentences": 1_000, "split_sentences": 8}, "test").sample(seed=0)
    model, rules = sweep.model_and_rules(dataset, torch.float64)
    assert len(rules) == model.head_width

    def share(rules) -> float:
        return sweep.share_that_differs(dataset, model, rules, lambda split, rules: sweep.plainly(model, split, rules))

    assert share(rules) == 0

    def other_at_scored_positions(queries, keys, attend):
        return attend(queries if queries.shape[-2] == keys.shape[-2] else -queries, keys)

    assert share({Simplification("svd", 1, 1): {1: other_at_scored_positions}}) > 0


@pytest.mark.parametrize(
    ("part", "another"),
    [("dropped", lambda vectors, replaced: (vectors - replaced)[..., 0]), ("first_keys", lambda pattern: pattern > 0.3)],
)
def test_every_measure_is_compared(part, another, bench, monkeypatch):
    measuring = importlib.import_module("measuring")
    model, rules = measuring.model_and_rules(torch.float64, every=11)
    split = measuring.split_of(1, seed=0)
    assert all(d.largest <= d.allowed for d in measuring.differences(model, split, rules))
    monkeypatch.setattr(measuring, part, another)
    wrong = [d.of for d in measuring.differences(model, split, rules) if not d.largest <= d.allowed]
    assert wrong == ["all other measures in float64, at any position"]


@pytest.mark.parametrize("changed", [{"scaling": 0.2}, {"dropped": True}])
def test_an_audit_is_compared_at_every_scored_position_and_leaves_the_model_as_it_was(changed, bench, monkeypatch):
    audit = importlib.import_module("audit")
    model, whole, single = audit.prepared("tiny", torch.float64, 2)
    assert (len(whole), {s.layer for s in single}) == (6, {1})
    split, implementation = audit.windows(2, 97, 16, seed=0), model.model.config._attn_implementation
    assert all(d.largest <= d.allowed for d in audit.differences(model, split, {**whole, **single}))
    own = audit.attention

    def other(*given, **options):
        return own(*given, **{**options, **changed})

    monkeypatch.setattr(audit, "attention", other)
    if "dropped" in changed:
        monkeypatch.setattr(audit, "_rules", type("Nothing", (dict,), {"get": lambda self, layer: None})())
    assert [d.largest <= d.allowed for d in audit.differences(model, split, whole)] == [False, False]
    assert model.model.config._attn_implementation == implementation


def test_layers_that_stand_for_all_are_as_deep_on_average(bench):
    audit = importlib.import_module("audit")
    layers, every = range(audit.SMOLLM2["num_hidden_layers"]), 5
    assert np.mean([layer for layer in layers if layer % every == every // 2]) == np.mean(layers)


def test_statements_are_counted_without_imports_and_comments(bench):
    by_lens = importlib.import_module("by_lens")
    source = 'def f(x):\n    """It."""\n    from a import b\n    # said\n    for i in x:\n        b(i)\n    return x\n'
    assert by_lens.statements(source, "f") == 3
    assert by_lens.LINES["ours"] == 3


def test_another_interpreter_is_not_taken_for_transformerlens(run, peers):
    folder = peers()
    (folder / "transformer-lens/bin/python").write_text("#!/bin/sh\necho no such module >&2\n")
    status, out, err = run(*SMALL, "--peers", folder, "--only", "audit-lens")
    assert (status, out) == (2, "")
    assert "python cannot be used as transformer-lens (no such module)" in err


def test_other_numbers_by_hand_are_not_timed(bench, run, peers, monkeypatch):
    by_lens = importlib.import_module("by_lens")
    nothing = {"seconds": 1.0, "gap": 0.5, "texts": {text: {"same": 0.0, "divergence": 0.0} for text in by_lens.TEXTS}}
    monkeypatch.setattr(by_lens, "by_hand", lambda *_: [nothing, nothing])
    status, out, err = run(*SMALL, "--peers", peers(), "--only", "audit-lens")
    assert (status, out) == (1, "")
    assert "agreement of SVD in all layers and in one, at any position: 1 apart, but at most 0 is allowed; not timed" in err


def test_the_audit_has_a_command_of_its_own(bench, monkeypatch, capsys):
    audit = importlib.import_module("audit")
    small = {"audit-whole": replace(audit.ROWS["audit-whole"], begin=partial(audit.begin, layers=False, every=2, length=32))}
    monkeypatch.setattr(audit, "ROWS", small)
    assert audit.main(["--model", "tiny", "--rounds", "1"]) == 0
    said = capsys.readouterr().out
    assert re.match("audit-whole" + ROW, said)
    assert re.search(r"ours spends \d+ % on layers, \d+ % on unembedding, \d+ % on measures; random weights", said)
    assert audit.main(["--model", "nowhere", "--rounds", "1"]) == 2
    assert "model 'nowhere' does not exist" in capsys.readouterr().err


def test_distributions_are_compared(bench):
    sampler = importlib.import_module("dyck_sampler")
    lengths = []
    for seed, p_end in ((0, 0.5), (1, 0.5), (2, 0.45)):
        rng = np.random.default_rng(seed)
        structures = sample_structures(20_000, Automaton(p_end=p_end, min_length=4, max_length=200), rng)
        lengths.append((with_types(structures, 2, rng).tokens != 0).sum(1))
    assert sampler.apart(lengths[0], lengths[1]) < 2.2 < sampler.apart(lengths[0], lengths[2])
    assert sampler.apart(lengths[0], lengths[0]) == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--rounds", "0"], "rounds is 0, but must be a whole number, at least 1"),
        (["--threads", "-1"], "threads is -1, but must be a whole number, at least 1"),
        (["--threads", "100000"], r"threads is 100000, but this machine runs \d+ at once: ask for no more"),
        (["--peers", "no-such-folder"], "peers is 'no-such-folder', which is no folder: name the one that holds"),
        (["--only", "sweeping"], "only is 'sweeping', but must be one of: dyck-sampler, .*, nanoGPT"),
        (["--only", "sweep", "--publish"], "other rows are published with machine None: leave out --only, or --publish"),
        (["--small", "--publish"], "leave out --small, or --publish"),
        (["--only", "nanoGPT"], "nanoGPT is not there: name the folder of peers"),
        (["--only", "sweep-start", "--peers", str(ROOT)], "TransformerLens is not there: .* has no folder TransformerLens"),
        (["--rounds", "few"], "argument --rounds: invalid int value: 'few'"),
    ],
)
def test_what_cannot_be_run_is_refused(arguments, why, run):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert re.search(f"error: .*{why}", err), err


def test_more_threads_than_there_are_cores_are_not_timed(bench, run, monkeypatch, peers):
    monkeypatch.setattr(bench, "cores", lambda: 1)
    status, out, err = run(*SMALL, "--peers", peers(), "--only", "training-code-two-threads")
    assert (status, out) == (2, "")
    assert err == "error: training-code-two-threads: it needs 2 threads, and this machine runs 1 at once\n"


@pytest.mark.parametrize("model", ["", "import no_such_module", "1 +", "class GPT: pass", "exit()"], ids=repr)
def test_something_else_is_not_taken_for_a_peer(model, bench, run, peers, monkeypatch):
    folder = peers()
    (folder / "nanoGPT/model.py").write_text(model)
    status, out, err = run(*SMALL, "--peers", folder, "--only", "training-dyck")
    assert (status, out) == (2, "")
    assert err.startswith(f"error: training-dyck: {folder / 'nanoGPT'} cannot be used as nanoGPT (")
    monkeypatch.setattr(bench, "ROWS", {"training-dyck": bench.ROWS["training-dyck"]})
    status, out, err = run(*SMALL, "--peers", folder)  # not asked for by name
    assert (status, err) == (0, "")
    assert out.startswith(f"training-dyck: left out, as {folder / 'nanoGPT'} cannot be used as nanoGPT (")


@pytest.mark.parametrize(
    ("name", "script", "why"),
    [
        ("training-dyck", "print('nothing')", "nanoGPT's train.py printed no step times: nothing"),
        ("training-code-bfloat16", "", "has no line .* in which to allow bfloat16 on a CPU"),
        ("training-dyck", None, "it has no train.py"),
    ],
)
def test_another_loop_is_not_taken_for_nanogpt(name, script, why, run, peers):
    folder = peers()
    path = folder / "nanoGPT/train.py"
    path.unlink() if script is None else path.write_text(script)
    status, out, err = run(*SMALL, "--peers", folder, "--only", name)
    assert (status, out) == (2, "")
    assert re.search(why, err), err


@pytest.mark.skipif(not os.environ.get("PEERS"), reason="needs checkouts of other projects, in the folder that PEERS names")
@pytest.mark.parametrize("peer", ["nanoGPT", "structural-grokking", "TransformerLens", "transformer-lens"])
def test_ours_is_compared_with_the_projects_themselves(peer, run):
    status, out, err = run(*SMALL, "--only", peer, "--peers", os.environ["PEERS"])
    assert status == 0, err
    rows = {"nanoGPT": 4, "structural-grokking": 1, "TransformerLens": 2, "transformer-lens": 1}
    assert out.count("times as fast") == rows[peer]


def test_the_command_is_a_script():
    done = subprocess.run(
        [sys.executable, "benchmarks/bench.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(option in done.stdout for option in ("--peers", "--only", "--threads", "--rounds", "--publish"))


@pytest.mark.browser
def test_a_step_of_a_slider_is_timed_on_a_page(browser):
    """In a process of its own, as one drives one browser; the fixture says whether there is any."""
    command = [sys.executable, "benchmarks/live.py", "smoke", "--steps", "5"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"(\w+): a step takes \d+ ms at the median", done.stdout) == ["dyck", "code"]
    without = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, "PATH": ""})
    assert without.returncode == 2
    assert "no Chromium was found on the PATH" in without.stderr


def test_how_long_a_preset_takes_is_estimated_from_every_experiment_of_it(bench, tiny, monkeypatch, capsys):
    estimate = importlib.import_module("estimate")
    monkeypatch.setattr("sys.argv", ["estimate.py", str(tiny)])
    assert estimate.main() == 0
    said = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"dyck: \d+ seeds, each [\d.]+ minutes of training and [\d.]+ of measuring", said[0])
    assert re.match(r"in all [\d.]+ hours of one core, [\d.]+ on two", said[-2])
    monkeypatch.setattr("sys.argv", ["estimate.py", "nonsense"])
    with pytest.raises(SystemExit) as refused:
        estimate.main()
    assert refused.value.code == 2
    assert "nonsense" in capsys.readouterr().err


# The page


def test_the_page_of_the_book_is_what_the_published_run_makes_of_it(bench):
    run = json.loads((ROOT / "benchmarks/published.json").read_text(encoding="utf-8"))
    assert (ROOT / "book/speed.md").read_text(encoding="utf-8") == bench.page(run), (
        "it is not edited by hand: see benchmarks/page.py"
    )


def test_the_published_run_is_whole_and_what_it_compares_agrees(bench):
    run = json.loads((ROOT / "benchmarks/published.json").read_text(encoding="utf-8"))
    assert list(run["rows"]) == list(bench.ROWS)
    assert not run["left_out"]
    for name, row in run["rows"].items():
        assert len(row["seconds"]) == run["rounds"] >= 5
        assert row["differences"]
        assert all(d["largest"] <= d["allowed"] for d in row["differences"])
        assert (row["what"], row["against"]) == (bench.ROWS[name].what, bench.ROWS[name].against)


def test_kernels_are_those_that_take_the_time(bench):
    harness = importlib.import_module("harness")
    a = torch.ones(400, 400)
    found = harness.kernels(lambda: [a @ a for _ in range(20)])
    assert next(iter(found)) == "mm"
    assert 0.5 < found["mm"] <= 1
    assert harness.kernels(lambda: sum(range(1_000))) == {}


def test_publishing_writes_the_run_and_its_page(bench, run, monkeypatch):
    harness = importlib.import_module("harness")
    found = iter([0.2, 0.1, 0.6, 0.1, 0.5, 0.2, 0.3])
    contest = harness.Contest(lambda: next(found), lambda: next(found), [harness.Difference("results", 1e-7, 1e-5)], "a note")
    row = harness.Benchmark("some work", "another way", lambda *_: contest)
    monkeypatch.setattr(bench, "ROWS", {"row": row, "lens": bench.ROWS["sweep-start"]})
    status, out, _ = run("--rounds", 3, "--publish")
    assert status == 0
    assert out.startswith("row: 2.50 times as fast (2.00 to 6.00 over 3 rounds) on 1 thread\n")
    assert json.loads(bench.PUBLISHED.read_text())["rows"]["row"]["seconds"][1] == {"theirs": 0.6, "ours": 0.1}
    page = bench.PAGE.read_text()
    assert "| row | some work; against another way | 2.50 (2.00 to 6.00) |" in page
    assert "| row | results | 1e-07 | 1e-05 |" in page
    assert "- row: a note." in page
    assert "Left out: lens, as TransformerLens is not there: name the folder of peers." in page
    found = iter([0.3, 0.1, 0.3, 0.1, 0.3, 0.1, 0.1])
    monkeypatch.setattr(bench, "ROWS", {"row": row, "other": row, "lens": bench.ROWS["lens"]})
    assert run("--rounds", 3, "--publish", "--only", "other")[0] == 0
    both = json.loads(bench.PUBLISHED.read_text())
    assert list(both["rows"]) == ["row", "other"]
    assert both["rows"]["row"]["seconds"][1] == {"theirs": 0.6, "ours": 0.1}, "what is not run again stays"
    assert list(both["left_out"]) == ["lens"]
    assert "with rounds 3: leave out --only" in run("--rounds", 2, "--publish", "--only", "other")[2]
