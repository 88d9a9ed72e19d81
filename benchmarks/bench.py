"""Ours against other ways and other projects' code: `make bench PEERS=FOLDER`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import audit
import dyck_sampler
import measuring
import rank_sweep
import training
from harness import Benchmark, Disagreement, LeftOut, checkout, cores, machine, measured, said, version
from page import page

from lib.errors import InputError, one_of, whole_number
from lib.models.machine import spare_memory

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED, PAGE = ROOT / "benchmarks" / "published.json", ROOT / "book" / "speed.md"
SWEEP = "every rank of an SVD of one layer, all measures, on every Dyck split"
LENS = "rank by rank, predictions only"
CODE_STEP, DYCK_STEP = (
    f"a training step of the {name} model, {of.experiment.model.layers} layers of width {of.experiment.model.width}, "
    f"on {of.batch} windows of {of.context} tokens, in {{}}"
    for name, of in (("code", training.code_shape(steps=1)), ("Dyck", training.dyck_shape(steps=1)))
)
SHORT, FEW = {"steps": 2, "batch": 2}, {"sentences": 10}
AT_CODE_SIZE = partial(training.begin, shape=training.code_shape)
ROWS = {
    "dyck-sampler": Benchmark(
        "a bracket of a Dyck sentence, sampled and annotated",
        "structural-grokking's generator, not annotated",
        dyck_sampler.begin,
        dyck_sampler.PEER,
        small={"sentences": 8_000},
    ),
    "sweep": Benchmark(SWEEP, f"our whole model {LENS}", rank_sweep.begin, small=FEW),
    "sweep-hooks": Benchmark(
        SWEEP,
        f"TransformerLens, the whole model with hooks {LENS}",
        partial(rank_sweep.begin, lens=True),
        rank_sweep.PEER,
        small=FEW,
    ),
    "sweep-start": Benchmark(
        SWEEP,
        f"TransformerLens from the simplified layer on, {LENS}",
        partial(rank_sweep.begin, lens=True, start=rank_sweep.LAYER),
        rank_sweep.PEER,
        small=FEW,
    ),
    "training-code": Benchmark(CODE_STEP.format("float32"), "nanoGPT's loop", AT_CODE_SIZE, training.PEER, small=SHORT),
    "training-code-two-threads": Benchmark(
        CODE_STEP.format("float32"), "nanoGPT's loop", AT_CODE_SIZE, training.PEER, threads=2, small=SHORT
    ),
    "training-code-bfloat16": Benchmark(
        CODE_STEP.format("bfloat16"),
        "nanoGPT's loop in bfloat16",
        partial(AT_CODE_SIZE, precision="bfloat16"),
        training.PEER,
        small=SHORT,
    ),
    "training-dyck": Benchmark(
        DYCK_STEP.format("float32"),
        "nanoGPT's loop",
        partial(training.begin, shape=training.dyck_shape, steps=60),
        training.PEER,
        small=SHORT,
    ),
    "measuring-code": Benchmark(
        "proxies of all layers, each layer and each head of the code model, all measures",
        "the model and the simplified model, both run whole for each proxy",
        measuring.begin,
        small={"sequences": 1, "every": 6},
    ),
    "precision": Benchmark(CODE_STEP.format("bfloat16"), "the same in float32", training.begin_precision, small=SHORT),
    "products": Benchmark(
        f"products of matrices of {CODE_STEP.format('float32')}, by oneDNN",
        "the library that PyTorch takes unasked",
        training.begin_products,
        small={"times": 2, "batch": 2},
    ),
    **audit.ROWS,
}
PEERS = tuple(dict.fromkeys(row.peer for row in ROWS.values() if row.peer))


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="bench.py", description=__doc__)
    parser.add_argument(
        "--peers", type=lambda name: Path(name).expanduser(), metavar="FOLDER", help=f"holds {', '.join(PEERS)}"
    )
    parser.add_argument("--only", action="append", metavar="ROW", help=f"or a peer; again for more: {', '.join(ROWS)}")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of rows that do not name a number; default: 1")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="in each of which both take turns; default: 5")
    parser.add_argument("--small", action="store_true", help="at sizes that only show that everything runs")
    parser.add_argument("--publish", action="store_true", help=f"write benchmarks/{PUBLISHED.name} and book/{PAGE.name}")
    return parser.parse_args(given)


def check(asked: argparse.Namespace) -> dict[str, Benchmark]:
    """The rows that are asked for; `InputError` for what cannot be used."""
    whole_number("rounds", asked.rounds, at_least=1)
    whole_number("threads", asked.threads, at_least=1)
    if asked.threads > cores():
        raise InputError(f"threads is {asked.threads}, but this machine runs {cores()} at once: ask for no more")
    if asked.peers is not None and not asked.peers.is_dir():
        raise InputError(
            f"peers is {str(asked.peers)!r}, which is no folder: name the one that holds checkouts of {', '.join(PEERS)}"
        )
    for name in asked.only or ():
        one_of("only", name, [*ROWS, *PEERS])
    if asked.publish and asked.small:
        raise InputError("what is published is at full size: leave out --small, or --publish")
    if asked.publish and asked.only:
        before = published()
        for what, now in {"machine": machine(), "rounds": asked.rounds}.items():
            if before.get(what) != now:
                raise InputError(f"other rows are published with {what} {before.get(what)}: leave out --only, or --publish")
    return {name: row for name, row in ROWS.items() if not asked.only or {name, row.peer} & set(asked.only)}


def run(asked: argparse.Namespace) -> dict:
    """All rows, printed as they are found."""
    rows, left_out, versions = {}, {}, {}
    for name, row in check(asked).items():
        threads = row.threads or asked.threads
        try:
            if threads > cores():
                raise LeftOut(f"it needs {threads} threads, and this machine runs {cores()} at once")
            if row.peer:
                checkout(asked.peers, row.peer)
            rows[name] = measured(row, asked.peers, threads, asked.rounds, asked.small)
        except LeftOut as error:
            if {name, row.peer if threads <= cores() else None} & set(asked.only or ()):
                raise LeftOut(f"{name}: {error}") from error
            left_out[name] = str(error)
            print(f"{name}: left out, as {error}", flush=True)
            continue
        if row.peer:
            versions[row.peer] = version(asked.peers, row.peer)
        print(said(name, rows[name]), flush=True)
    found = {"machine": machine(), "peers": versions, "rounds": asked.rounds, "rows": rows, "left_out": left_out}
    print("on " + ", ".join(f"{name} {value}" for part in ("machine", "peers") for name, value in found[part].items()))
    return found


def published() -> dict:
    """What is published; empty where nothing is."""
    return json.loads(PUBLISHED.read_text("utf-8")) if PUBLISHED.exists() else {}


def publish(found: dict) -> None:
    """Have the page show this."""
    PUBLISHED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(found), encoding="utf-8")


def joined(found: dict, only_some: bool) -> dict:
    """What was found, with what is published and was not run again: what a book took, and other rows if only some were run."""
    before = published()
    if only_some:
        found |= {part: {**before[part], **found[part]} for part in ("peers", "rows", "left_out")}
        rows = {name: found["rows"][name] for name in ROWS if name in found["rows"]}
        found |= {"rows": rows, "left_out": {name: why for name, why in found["left_out"].items() if name not in rows}}
    return {**before, **found}


def main(given: Sequence[str] | None = None) -> int:
    """Exit status: 2 for input that cannot be used, 1 where two ways do not do the same."""
    asked = arguments(given)
    spare_memory()
    try:
        found = run(asked)
    except (InputError, Disagreement) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    if asked.publish:
        publish(joined(found, bool(asked.only)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
