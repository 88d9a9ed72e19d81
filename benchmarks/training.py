"""Steps of training: against the loop of nanoGPT's train.py at the same shape, not compiled; in bfloat16 against float32.

And of what they are made of in float32, products of matrices, how fast the libraries are that PyTorch has for them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from harness import Contest, Difference, LeftOut, importing, timed
from torch import Tensor

from lib.experiment import Experiment
from lib.models.machine import DEFAULT, ONEDNN, faster, products_by
from lib.models.trainer import Trainer
from lib.models.transformer import Transformer
from lib.presets import load
from lib.tasks.code.splits import FIRST_CHARACTER, VOCABULARY
from lib.tasks.dyck.text import vocabulary

PEER = "nanoGPT"
FILES = ("train.py", "model.py", "configurator.py")
CODE, DYCK = (load("paper").experiment(name) for name in ("code", "dyck"))
# Sizes of their own, so that times stay comparable where the preset changes.
CODE = CODE.model_copy(update={"model": CODE.model.model_copy(update={"width": 128, "mlp_width": 512})})
CODE_BATCH, DYCK_BATCH = 16, 128
SINGLE = 1e-5  # how far apart products in float32 may be; those in bfloat16 are further
OURS = {  # parts of names of parameters
    "transformer.h.": "blocks.", "transformer.": "", "wte": "token_embedding", "wpe.weight": "positions",
    "attn.c_attn": "attention.qkv", "attn.c_proj": "attention.out", "mlp.c_fc": "mlp.0", "mlp.c_proj": "mlp.2",
    "ln_1": "norm_attention", "ln_2": "norm_mlp", "ln_f": "norm", "lm_head": "unembedding",
}  # fmt: skip
NO_AUTOCAST = "nullcontext() if device_type == 'cpu' else torch.amp.autocast("


@dataclass(frozen=True)
class Shape:
    """What is trained: a model and batches full of random text."""

    experiment: Experiment
    tokens: int  # in the vocabulary
    context: int  # tokens that a window reads
    steps: int  # timed in a round
    batch: int  # windows

    def model(self) -> Transformer:
        """The same weights each time."""
        return Transformer.seeded(self.experiment.model, self.tokens, self.context, seed=0)

    def windows(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Tokens (batch, T), and the next of each."""
        found = rng.integers(FIRST_CHARACTER, self.tokens, (self.batch, self.context + 1))
        return tuple(torch.from_numpy(part.copy()) for part in (found[:, :-1], found[:, 1:]))

    def trainer(self, precision: str, library: str) -> Trainer:
        """Ours, before its first step."""
        return Trainer(self.model(), self.experiment.training, precision, library)

    def step(self, precision: str, library: str) -> Callable[[], float]:
        """A function that takes a step of our training on new windows and returns the mean loss."""
        trainer, rng = self.trainer(precision, library), np.random.default_rng(0)

        def step() -> float:
            trainer.train_on(*self.windows(rng))
            return trainer.mean_loss()

        return step

    def faster(self, asked: str) -> tuple[str, str]:
        """Precision and library that our training takes here for steps on such windows, on as many threads as are set."""
        return faster(asked, self.step, torch.device("cpu"))

    @property
    def theirs(self) -> dict[str, object]:
        """The shape of the model as nanoGPT calls it."""
        of = self.experiment.model
        sizes = {"block_size": self.context, "n_layer": of.layers, "n_head": of.heads, "n_embd": of.width}
        return {**sizes, "dropout": 0.0, "bias": of.bias}


def code_shape(steps: int, batch: int = CODE_BATCH) -> Shape:
    """The model of code of preset `paper`, but wider."""
    return Shape(CODE, len(VOCABULARY), CODE.task.context, steps, batch)


def dyck_shape(steps: int, batch: int = DYCK_BATCH) -> Shape:
    """The model of brackets of preset `paper`; a window is as long as the longest sentence of training."""
    return Shape(DYCK, len(vocabulary(DYCK.task.bracket_types)), DYCK.task.max_length + 1, steps, batch)


def nanogpt(folder: Path | None, shape: Shape) -> torch.nn.Module:
    """nanoGPT's model."""
    with importing(folder, PEER) as where:
        if missing := [name for name in FILES if not (where / name).is_file()]:
            raise FileNotFoundError(f"it has no {missing[0]}")
        spec = importlib.util.spec_from_file_location("nanogpt_model", where / "model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with contextlib.redirect_stdout(io.StringIO()):
            return module.GPT(module.GPTConfig(vocab_size=shape.tokens, **shape.theirs))


def differences(shape: Shape, theirs: torch.nn.Module, precision: str, library: str) -> list[Difference]:
    """How far our model with nanoGPT's weights is from nanoGPT's: logits, loss, and the gradients of a step."""

    def named(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        for part, ours in OURS.items():
            tensors = {name.replace(part, ours): tensor for name, tensor in tensors.items()}
        return tensors

    half = precision == "bfloat16"
    tokens, targets = shape.windows(np.random.default_rng(0))
    trainer = Trainer(shape.model(), shape.experiment.training.model_copy(update={"clip_norm": 1e9}), precision, library)
    trainer.model.load_state_dict(named(theirs.state_dict()), strict=False)  # either has biases that the other lacks: zero
    autocast = torch.autocast("cpu", torch.bfloat16, half)
    with autocast:
        expected, loss = theirs(tokens, targets)
    loss.backward()
    with torch.no_grad(), products_by(library), autocast:
        logits = trainer.model(tokens)
    trainer.train_on(tokens, targets)
    own, found = ({name: p.grad for name, p in model.named_parameters()} for model in (trainer.model, theirs))
    own["token_embedding.weight"] += own.pop("unembedding.weight")  # nanoGPT has them in one
    found = named(found)
    one, other = (torch.cat([of[name].flatten() for name in sorted(own.keys() & found.keys())]) for of in (own, found))
    off = float((logits.float() - expected.detach().float()).abs().max() / expected.detach().abs().max())
    return [
        Difference(f"logits in {precision}, as a share of the largest", off, 3e-2 if half else 1e-5),
        Difference(f"loss of a step in {precision}, in nats", abs(trainer.mean_loss() - loss.item()), 1e-3 if half else 1e-5),
        Difference(f"gradient of a step in {precision}, as a share of its length", share(one, other), 3e-2 if half else 1e-4),
    ]


def share(one: Tensor, other: Tensor) -> float:
    """The length of the difference of two vectors, as a share of the length of the other."""
    return float((one - other).norm() / other.norm())


def prepare(where: Path, folder: Path, shape: Shape, precision: str) -> None:
    """A folder in which nanoGPT's script finds itself and random text."""
    for name in FILES:
        shutil.copy(where / name, folder)
    if precision == "bfloat16":  # which the script takes for float32 on a CPU
        script = (folder / "train.py").read_text()
        if script.count(NO_AUTOCAST) != 1:
            raise LeftOut(f"{PEER}'s train.py has no line {NO_AUTOCAST!r} in which to allow bfloat16 on a CPU")
        (folder / "train.py").write_text(script.replace(NO_AUTOCAST, "torch.amp.autocast("))
    data = folder / "data" / "random"
    data.mkdir(parents=True)
    for name in ("train.bin", "val.bin"):
        np.random.default_rng(0).integers(0, shape.tokens, 300_000).astype(np.uint16).tofile(data / name)
    (data / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": shape.tokens}))  # the form that nanoGPT reads


def peer_seconds(folder: Path, shape: Shape, precision: str, threads: int) -> list[float]:
    """Seconds of each step of nanoGPT's training loop, from what it prints; without two that warm up."""
    options = {
        **shape.theirs, "dataset": "random", "device": "cpu", "dtype": precision, "compile": False, "eval_iters": 1,
        "eval_interval": 10**6, "always_save_checkpoint": False, "log_interval": 1, "gradient_accumulation_steps": 1,
        "max_iters": shape.steps + 1, "batch_size": shape.batch,
    }  # fmt: skip
    command = [sys.executable, "train.py", *(f"--{name}={value}" for name, value in options.items())]
    on = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=folder, env=on, capture_output=True, text=True)
    times = [float(found) / 1_000 for found in re.findall(r"iter \d+: loss .*?, time ([\d.]+)ms", done.stdout)][2:]
    if not times:
        raise LeftOut(f"{PEER}'s train.py printed no step times: {(done.stderr or done.stdout).strip()[-400:]}")
    return times


def begin(
    folder: Path | None, threads: int, shape: Callable[..., Shape], precision: str = "float32", steps: int = 12, **sizes: int
) -> Contest:
    """Steps against nanoGPT's. The shortest of a round counts, ours and theirs: what else the machine does only ever adds."""
    of, half = shape(steps, **sizes), precision == "bfloat16"
    library = of.faster(precision)[1]
    products_of = f"ours takes products by {library}, {PEER} by what PyTorch takes unasked"
    found = differences(of, nanogpt(folder, of), precision, library)
    step, workplace = of.step(precision, library), tempfile.TemporaryDirectory()
    prepare(folder / PEER, Path(workplace.name), of, precision)
    ours = timed(step)
    ours(), ours()
    return Contest(
        lambda: min(ours() for _ in range(steps)),
        lambda: min(peer_seconds(Path(workplace.name), of, precision, threads)),
        found,
        note=f"as it stands, {PEER}'s script takes bfloat16 for float32 on a CPU; one line is changed" if half else products_of,
    )


def begin_precision(folder: Path | None, threads: int, steps: int = 12, **sizes: int) -> Contest:
    """Our own steps in bfloat16 against float32."""
    of, gradients = code_shape(steps, **sizes), []
    ways = of.faster("float32"), ("bfloat16", DEFAULT)
    for way in ways:
        trainer = of.trainer(*way)
        trainer.train_on(*of.windows(np.random.default_rng(0)))
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]))
    single, half = (timed(of.step(*way)) for way in ways)
    return Contest(
        lambda: min(half() for _ in range(steps)),
        lambda: min(single() for _ in range(steps)),
        [Difference("gradient of a step, as a share of its length", share(*reversed(gradients)), 3e-2)],
        note=f'`precision = "auto"` takes {of.faster("auto")[0]} here',
    )


def products(shape: Shape) -> tuple[Callable[[], list[Tensor]], int]:
    """A function that computes the products with weights of a step, forwards and backwards, and its operations."""
    model, draw = shape.experiment.model, torch.Generator().manual_seed(0)
    rows, wide, inner = shape.batch * shape.context, model.width, model.mlp_width
    sizes = [(wide, 3 * wide), (wide, wide), (wide, inner), (inner, wide)]
    given = [[torch.randn(*of, generator=draw) for of in ((rows, a), (b, a), (rows, b))] for a, b in sizes]

    def compute() -> list[Tensor]:
        return [of for x, weight, after in given for of in (x @ weight.T, after.T @ x, after @ weight)]

    return compute, sum(3 * 2 * rows * a * b for a, b in sizes)


def begin_products(folder: Path | None, threads: int, times: int = 40, **sizes: int) -> Contest:
    """oneDNN for products in float32, against the library that PyTorch takes unasked."""
    shape = code_shape(1, **sizes)
    compute, operations = products(shape)

    def by(name: str) -> list[Tensor]:
        with products_by(name):
            return compute()

    off = max(share(one, other) for one, other in zip(by(ONEDNN), by(DEFAULT), strict=True))
    if off == 0:
        raise LeftOut("PyTorch has nothing else for products in float32 here")
    if off > SINGLE:
        raise LeftOut(f"oneDNN does not compute products in float32 here (they are {off:.1g} off)")
    ours, theirs = (timed(partial(by, name), threads) for name in (ONEDNN, DEFAULT))
    rates = [operations / min(way() for _ in range(times)) / 1e9 for way in (ours, theirs)]
    taken = shape.faster("float32")[1]
    note = "{:.0f} billion operations a second, and {:.0f} unasked; such a step takes {} in training".format(*rates, taken)
    difference = Difference("products in float32, as a share of their length", off, SINGLE)
    return Contest(lambda: min(ours() for _ in range(times)), lambda: min(theirs() for _ in range(times)), [difference], note)
