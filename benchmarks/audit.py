"""The sweep of an audit, at the size of SmolLM2-135M, against plain forward passes of the whole model for each setting."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import by_lens
import numpy as np
import torch
from harness import Benchmark, Contest, Difference, Disagreement, cores, language_models, machine, measured, said, timed
from torch import Tensor

from lib.audit.settings import parse, parts
from lib.errors import InputError, whole_number
from lib.measuring.faithfulness import compare
from lib.models import pretrained
from lib.models.base import Model
from lib.models.machine import spare_memory
from lib.proxies import TRAINING, Fitter, LayerRule, Simplification
from lib.split import Sequences, Split

SETTINGS = "svd:8,16,32,48", "kmeans:64", "one_hot"  # of the demonstration: six of all layers, three of each layer
SMOLLM2 = {
    "vocab_size": 49_152, "hidden_size": 576, "intermediate_size": 1_536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "tie_word_embeddings": True,
}  # fmt: skip
TINY = {"vocab_size": 97, "hidden_size": 192, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3}
SHAPES = {"SmolLM2-135M": SMOLLM2, "tiny": {**SMOLLM2, **TINY, "num_key_value_heads": 1}}
LENGTH, SCORED = 128, 32  # of the demonstration
WINDOWS, PARTS = 4, 1  # parts are measured on one of four windows
BATCH = 4  # windows; of 1 to 4, what took the plain way least time
NAME = "plainly_by_hand"
Rules = Mapping[Simplification, Mapping[int, LayerRule]]
_rules: dict[int, LayerRule] = {}  # by layer, of the setting that is run plainly


def windows(count: int, vocabulary: int, length: int, seed: int) -> Split:
    """Random tokens, some positions of each window scored; each has a row of the block."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, vocabulary, (count, length))
    order = rng.random((count, length - 1)).argsort(1)
    scored = np.pad(order < min(SCORED, length // 2), ((0, 0), (0, 1)))
    position = {"position": np.broadcast_to(np.arange(length), tokens.shape)}
    lengths, candidates = np.full(count, length), np.arange(vocabulary)
    return Split(name="random", tokens=tokens, lengths=lengths, scored=scored, candidates=candidates, covariates=position)


def model_of(given: str, dtype: torch.dtype) -> Model:
    """A model in a folder or a GGUF file, or one of `SHAPES` with random weights, so large that attention is not uniform."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from lib.models.huggingface import HuggingFace

    if given not in SHAPES:
        return HuggingFace(pretrained.read(pretrained.locate(given), "cpu").to(dtype))
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPES[given]))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(3 if "q_proj" in name or "k_proj" in name else 1)
    return HuggingFace(model.to(dtype))


@cache
def prepared(given: str, dtype: torch.dtype, every: int) -> tuple[Model, Rules, Rules]:
    """A model, and fitted proxies of all layers together and of each `every`-th layer alone, the middle ones of so many."""
    model = model_of(given, dtype)
    fitted = windows(4, model.vocabulary_size, LENGTH, seed=1)
    fitter = Fitter(model, {TRAINING: Sequences(tokens=fitted.tokens, lengths=fitted.lengths)})
    whole = parse(SETTINGS, model)
    single = [s for s in parts(whole, model, "layer") if s.layer % every == every // 2]
    return model, *({s: fitter.rules(s) for s in of} for of in (whole, single))


def attention(module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, **options) -> tuple[Tensor, Tensor | None]:
    """What one registers in transformers: a layer that has a rule attends by it, any other by PyTorch's fused attention."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rule = _rules.get(module.layer_idx)
    if rule is None:
        return sdpa_attention_forward(module, query, key, value, mask, **options)
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    pairs = [proxy.simplify(query[:, head], key[:, head]) for head, proxy in rule.proxies.items()]
    query, key = (torch.stack(side, 1) for side in zip(*pairs, strict=True))
    scores = query @ key.mT * options["scaling"] + mask
    pattern = scores.softmax(-1, dtype=torch.float32).to(query.dtype)  # as Llama's own code, whatever the rest is computed in
    pattern = torch.stack([proxy.simplify_pattern(pattern[:, head]) for head, proxy in rule.proxies.items()], 1)
    return (pattern @ value).transpose(1, 2).contiguous(), pattern


@contextmanager
def plain(model: Model) -> Iterator[Callable[[Tensor, Mapping[int, LayerRule]], Tensor]]:
    """Within it, tokens (batch, T) and rules by layer -> log-probabilities (batch, T, vocabulary) by a whole forward pass."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, eager_mask)
    before = model.model.config._attn_implementation
    model.model.set_attn_implementation(NAME)

    def predict(tokens: Tensor, rules: Mapping[int, LayerRule]) -> Tensor:
        _rules.update(rules)
        try:
            return model.model(input_ids=tokens, use_cache=False).logits.log_softmax(-1)
        finally:
            _rules.clear()

    try:
        yield predict
    finally:
        model.model.set_attn_implementation(before)


@torch.no_grad()
def plainly(model: Model, split: Split, rules: Rules, again: bool = True) -> dict[tuple[Simplification, str], np.ndarray]:
    """By simplification and measure, [scored positions]; with `again` the model itself is run anew for each setting."""
    found = {(s, name): [] for s in rules for name in ("same_prediction", "output_kl")}
    with plain(model) as predict:
        for rows in (slice(start, start + BATCH) for start in range(0, len(split), BATCH)):
            tokens, scored = torch.from_numpy(split.tokens[rows]), split.scored[rows]
            own = None if again else predict(tokens, {})
            for s, rule in rules.items():
                before, after = predict(tokens, {}) if own is None else own, predict(tokens, rule)
                same = before.argmax(-1) == after.argmax(-1)
                divergence = (before.exp() * (before - after)).sum(-1)
                found[s, "same_prediction"].append(same.numpy()[scored])
                found[s, "output_kl"].append(divergence.numpy()[scored])
    return {key: np.concatenate(of) for key, of in found.items()}


def differences(model: Model, split: Split, rules: Rules) -> list[Difference]:
    """How far the two ways are apart at any scored position."""
    block, expected = compare(model, split, rules), plainly(model, split, rules, again=False)
    off = {key: float(np.abs(block.sums[key] - values).max()) for key, values in expected.items()}
    largest = {of: float(np.max([far for (_, name), far in off.items() if name == of])) for _, of in off}  # NaN if there is one
    return [
        Difference("predictions in float64, at any position", largest["same_prediction"], 0.0),
        Difference("divergence of the output in float64, in nats, at any position", largest["output_kl"], 1e-4),
    ]


def begin(
    folder: Path | None,
    threads: int,
    model: str = "SmolLM2-135M",
    layers: bool = True,
    again: bool = True,
    every: int = 5,
    length: int = LENGTH,
) -> Contest:
    """Six settings of all layers on some windows; with `layers` also each layer alone, on a quarter of them.

    Only each `every`-th layer is run alone, and counts so many times: they are the middle ones of so many, so their depth is
    that of all on average, and with it what running on from there takes.
    """
    language_models()
    exact, *rules = prepared(model, torch.float64, every)
    some = windows(2, exact.vocabulary_size, min(32, length), seed=0)
    found = differences(exact, some, {**rules[0], **(rules[1] if layers else {})})
    of, whole, single = prepared(model, torch.float32, every)
    many = windows(WINDOWS, of.vocabulary_size, length, seed=0)
    work = [(many, whole, 1), (many.part(slice(PARTS)), single, every)][: 1 + layers]

    def sweep(way: Callable) -> Callable[[], float]:
        return lambda: sum(times * timed(partial(way, of, split, rules), threads)() for split, rules, times in work)

    shares = [f"{100 * share:.0f} % on {what}" for what, share in spent(of, *work[-1][:2]).items()]
    note = f"of its time ours spends {', '.join(shares)}" + (", with one layer simplified" if layers else "")
    return Contest(sweep(compare), sweep(partial(plainly, again=again)), found, f"{note}; {_versions(model)}")


def _versions(model: str) -> str:
    of = f"random weights in the shape of {model}" if model in SHAPES else Path(model).name
    return f"{of}; transformers {importlib.metadata.version('transformers')}"


def spent(model: Model, split: Split, rules: Rules) -> dict[str, float]:
    """The shares of a sweep of ours by what it does: layers, the end of the model, and measures with all else."""
    took, inside = dict.fromkeys(("layers", "unembedding"), 0.0), []

    def counted(method: Callable, what: str) -> Callable:
        def call(*given, **named):
            inside.append(what)
            start = time.perf_counter()
            try:
                return method(*given, **named)
            finally:
                inside.pop()
                took[what] += 0 if inside else time.perf_counter() - start  # one may call another

        return call

    ways = {"embed": "layers", "run": "layers", "pause": "layers", "unembed": "unembedding"}
    for name, what in ways.items():
        setattr(model, name, counted(getattr(model, name), what))
    try:
        start = time.perf_counter()
        compare(model, split, rules)
        total = time.perf_counter() - start
    finally:
        for name in ways:
            delattr(model, name)  # the class has its own
    return {what: part / total for what, part in {**took, "measures": total - sum(took.values())}.items()}


SIX = "the sweep of an audit, six settings of all layers, all measures"
EACH = f"{SIX}; with three settings of each layer alone, on a quarter of the windows"
PLAIN = "whole forward passes, predictions and divergence only: for each setting, the simplified model and the model"
ONCE = "whole forward passes, predictions and divergence only: for each setting, the simplified model; once, the model"
SMALL = {"model": "tiny", "every": 2, "length": 32}
ROWS = {
    "audit-whole": Benchmark(SIX, PLAIN, partial(begin, layers=False), small=SMALL),
    "audit-layers": Benchmark(EACH, PLAIN, begin, small=SMALL),
    "audit-whole-once": Benchmark(SIX, ONCE, partial(begin, layers=False, again=False), small=SMALL),
    "audit-layers-once": Benchmark(EACH, ONCE, partial(begin, again=False), small=SMALL),
    "audit-lens": Benchmark(
        f"an audit of a small GPT-2: a setting of all layers on two texts, and the gap, in {by_lens.LINES['ours']} statements",
        f"TransformerLens' bridge in an environment of its own, by hand in {by_lens.LINES['theirs']} statements",
        by_lens.begin,
        by_lens.PEER,
        small={"windows": 8, "length": 32},
    ),
}


def main(given: Sequence[str] | None = None) -> int:
    """Exit status: 2 for input that cannot be used, 1 where two ways do not do the same."""
    parser = argparse.ArgumentParser(prog="audit.py", description=__doc__)
    parser.add_argument(
        "--model", default="SmolLM2-135M", help="a folder or a GGUF file; default: random weights in SmolLM2's shape"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="in each of which both take turns; default: 5")
    asked = parser.parse_args(given)
    spare_memory()
    try:
        whole_number("threads", asked.threads, 1, cores())
        whole_number("rounds", asked.rounds, 1)
        for name in [name for name, row in ROWS.items() if not row.peer]:
            row = replace(ROWS[name], begin=partial(ROWS[name].begin, model=asked.model))
            found = measured(row, None, asked.threads, asked.rounds)
            kernels = ", ".join(f"{kernel} {share:.0%}" for kernel, share in found["kernels"].items())
            print(f"{said(name, found)}\n  kernels of PyTorch that ours spends its time in: {kernels}", flush=True)
    except (InputError, Disagreement) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    print("on " + ", ".join(f"{name} {value}" for name, value in machine().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
