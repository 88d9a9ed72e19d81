"""The command line. Only the chosen command imports what it needs, so that `--help` answers at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lib.errors import InputError

DESCRIPTION = """\
Train small Transformers, simplify their attention, and measure whether the simplified model still predicts the original one,
in and out of distribution. Results go to artifacts/<preset>/<task>/ (another folder: set LIB_ARTIFACTS).
"""
EXAMPLES = """\
examples:
  python -m lib train dyck --preset quick --seed 0
  python -m lib evaluate dyck --preset quick
  python -m lib evaluate dyck --preset quick --sentences mine.txt
  python -m lib evaluate code --preset quick
  python -m lib evaluate code-javascript --preset quick --corpus directory --location ~/my-project
  python -m lib claims --preset quick
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for unusable input, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lib", description=DESCRIPTION, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, function, summary: str, details: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=details)
        sub.set_defaults(command=function)
        return sub

    def common(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "task",
            help="what the model is trained on: dyck, a language of nested brackets; code, functions in Python; "
            "code-<language>, in another language; presets smoke and paper also have dyck-sinusoidal and dyck-none, with other "
            "position encodings",
        )
        sub.add_argument(
            "--corpus",
            help="for code: installed (what the environment's own packages ship; the default), codesearchnet, or directory",
        )
        sub.add_argument(
            "--location",
            default="",
            metavar="PATH",
            help="a folder or zip file of sources (directory), or a folder with CodeSearchNet's files (without it: the hub)",
        )
        sub.add_argument(
            "--preset",
            default="quick",
            help="size of everything: smoke (seconds, meaningless numbers), quick (minutes), paper (largest, 2 to 5 seeds); "
            "%(default)s if left out",
        )
        sub.add_argument("--device", default="auto", help="cpu, cuda, or auto (the default): cuda where there is one")

    train = command(
        "train",
        _train,
        "train one model",
        "Train the model of one seed. Does nothing if it is there already; an interrupted training is resumed from its last "
        "checkpoint and ends with the same weights. Leaves model.safetensors, config.json and training.csv.",
    )
    common(train)
    train.add_argument(
        "--seed",
        type=int,
        default=0,
        help="a whole number from 0 on (default: %(default)s); data, initial weights and order follow from it",
    )

    evaluate = command(
        "evaluate",
        _evaluate,
        "measure how faithful the simplified models are",
        "Fit every proxy of the preset and measure how well the model with the proxy agrees with the model, on each split, "
        "for all seeds of the preset; models that are missing are trained first. Writes faithfulness.parquet, one row a "
        "measurement, and prints a summary with 95 % intervals.",
    )
    common(evaluate)
    one_seed = evaluate.add_mutually_exclusive_group()
    one_seed.add_argument("--seed", type=int, help="measure this seed only, and write only its own table of sequences")
    one_seed.add_argument(
        "--sentences",
        type=Path,
        metavar="FILE",
        help="your own sentences, one a line, such as '(a (b b) a)', as a further split named after the file; written to "
        "faithfulness-<name>.parquet, so that the study's own table stays as it is",
    )

    corpus = command(
        "corpus",
        _corpus,
        "build the corpus of a code task and say what is in it",
        "Cut functions out of the sources, leave out duplicates, keep the result; prints the manifest with its SHA-256. What "
        "was built before from the same sources is only read.",
    )
    common(corpus)

    claims = command(
        "claims",
        _claims,
        "test the claims of the study",
        "Test every claim on the measured tables: effect in percentage points, 95 % interval, verdict. What is missing is "
        "trained and measured first.",
    )
    claims.add_argument("--preset", default="quick", help="size of everything; %(default)s if left out")
    claims.add_argument(
        "--task", help="test one task's claims only: dyck, code or code-<language>; if left out, all of the preset"
    )
    claims.add_argument("--json", action="store_true", help="for machines: a list of findings as JSON")

    bench = command(
        "bench", _bench, "measure speed", "Compare the speed of a part of this project with the plain way to do it."
    )
    bench.add_argument(
        "subject",
        choices=["dyck-sampler", "rank-sweep", "precision", "training"],
        help="dyck-sampler: sampling and annotating training sentences; rank-sweep: an SVD of every rank on every split; "
        "precision: training on code in bfloat16 against float32; training: against nanoGPT's training loop (needs --peer)",
    )
    bench.add_argument("--peer", type=Path, metavar="FOLDER", help="for training: a checkout of nanoGPT")
    return parser


def _task(options: argparse.Namespace) -> str:
    """The task that the options name, which is a variant of its own where they name a corpus."""
    from lib.presets import with_corpus

    if options.corpus is None:
        if options.location:
            raise InputError(f"location is {options.location!r}, but no corpus reads it: name one, --corpus directory")
        return options.task
    return with_corpus(options.preset, options.task, options.corpus, options.location)


def _train(options: argparse.Namespace) -> None:
    from lib.runs import Run

    run = Run(_task(options), options.preset, options.seed, options.device)
    trained_before = run.is_trained()
    run.train()
    print(f"{'already trained' if trained_before else 'trained'}: {run.folder}")
    print(run.history.iloc[[-1]].drop(columns="learning_rate").to_string(index=False, float_format="%.3f"))


def _evaluate(options: argparse.Namespace) -> None:
    from lib.presets import task_folder
    from lib.runs import Run, Study, write_table

    task = _task(options)
    if options.seed is not None:
        run = Run(task, options.preset, options.seed, options.device)
        _ = run.sequences, run.along_training
        print(f"measured: {run.folder / 'sequences.parquet'}, {run.folder / 'along_training.parquet'}")
        return
    study = Study(task, options.preset, device=options.device)
    if options.sentences is None:
        path = study.save()
    else:
        study = study.with_sentences(options.sentences)
        path = task_folder(options.preset, task) / f"faithfulness-{options.sentences.stem}.parquet"
        write_table(path, study.results)
    print(study.summary())
    print(f"all measurements: {path}")


def _corpus(options: argparse.Namespace) -> None:
    import json

    from lib.code.splits import CodeConfig, load
    from lib.presets import preset

    config = preset(options.preset).task(_task(options)).data
    if not isinstance(config, CodeConfig):
        raise InputError(f"task is {options.task!r}, which has no corpus: use code or code-<language>")
    print(json.dumps(load(config).manifest, indent=2))


def _claims(options: argparse.Namespace) -> None:
    import json

    from lib.claims import findings_of, table
    from lib.presets import preset
    from lib.runs import Study

    known = preset(options.preset)
    tasks = [options.task] if options.task else [name for name in ("dyck", "code", "code-java") if name in known.available()]
    by_task = {task: findings_of(Study(task, options.preset)) for task in tasks}
    if options.json:
        print(json.dumps([{"task": task, **f.to_json()} for task, found in by_task.items() for f in found], indent=2))
        return
    for task, findings in by_task.items():
        seeds = known.task(task).seeds
        print(f"{task}, preset {options.preset}, {seeds} seeds; effects in percentage points with 95 % intervals\n")
        print(table(findings), end="\n\n")


def _bench(options: argparse.Namespace) -> None:
    from lib import bench

    if options.subject == "training":
        bench.training(options.peer)
    else:
        {"dyck-sampler": bench.dyck_sampler, "rank-sweep": bench.rank_sweep, "precision": bench.precision}[options.subject]()
