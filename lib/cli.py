"""The command line. Only the chosen command imports what it needs, so that `--help` answers at once."""

from __future__ import annotations

import errno
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lib.errors import InputError, looking_for
from lib.options import AUDIT, EXAMPLES, TASK, WithLists, preset_option, replace_option, seed_option, study_options

if TYPE_CHECKING:
    from lib.studies import Study


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 if an audit fails, 2 for unusable input, 130 when interrupted."""
    try:
        status = commands.main(arguments, prog_name="python -m lib", standalone_mode=False)
        if sys.stdout:  # which may have been closed
            sys.stdout.flush()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except click.ClickException as error:
        error.show()
        return 2
    except (KeyboardInterrupt, click.Abort):
        print("interrupted; the same command resumes from the last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads what is printed, such as `head`, has read enough
        _print_no_more()
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:  # as where what is printed goes into a file
            raise
        _print_no_more()
        print(f"error: no more can be written: {error.strerror}; free some space", file=sys.stderr)
        return 2
    return status or 0


def _print_no_more() -> None:
    """Have what is left to be printed go nowhere, also when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """Train small Transformers, simplify their attention, and measure whether the simplified model still predicts the original
    one, in and out of distribution. Results go to artifacts/<preset>/<task>/ (another folder: set LIB_ARTIFACTS)."""


@commands.command(epilog=TASK)
@study_options
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="All else follows from it.")
@replace_option
def train(task: str, preset: str, corpus: str, location: str, device: str, seed: int, replace: bool) -> None:
    """Train the model of one seed. Does nothing if it is there already; an interrupted training is resumed from its last
    checkpoint and ends with the same weights."""
    run = _study(task, preset, corpus, location, device).run(seed)
    print(f"{'trained' if run.train(replace) else 'already trained'}: {run.folder}")
    print(run.history.iloc[[-1]].drop(columns="learning_rate").to_string(index=False, float_format="%.3f"))


@commands.command(epilog=TASK)
@study_options
@seed_option
@replace_option
@click.option(
    "--sentences", type=click.Path(path_type=Path), help="A file of your own sentences, one a line, such as '(a (b b) a)'."
)
def evaluate(
    task: str, preset: str, corpus: str, location: str, device: str, seed: int | None, replace: bool, sentences: Path | None
) -> None:
    """Measure how well simplified models agree with the model, on each split, for all seeds of the preset, or one --seed.

    Models that are missing are trained first. Writes faithfulness.parquet, one row per measurement, and prints a summary with
    95 % intervals. With --sentences only that file is measured, as a split of its own, into faithfulness-<name>.parquet.
    """
    if seed is not None and sentences:
        raise InputError("--seed and --sentences do not go together: sentences are measured with all seeds")
    if seed is None and replace:
        raise InputError("--replace is about one model: say which, with --seed")
    study = _study(task, preset, corpus, location, device)
    if seed is not None:
        from lib.live.kept import arrays_of

        run = study.run(seed)
        print(f"{'measured' if run.measure(replace) else 'already measured'}: {run.measured.path.with_suffix('.parquet')}")
        arrays_of(run)  # for pages; now, as all is fitted
        return
    if sentences:
        study = study.with_split(sentences)
        path = study.folder / f"faithfulness-{sentences.stem}.parquet"
        study.write_results(path)
    else:
        path = study.save()
    print(f"{study.summary()}\nall measurements: {path}")


@commands.command(epilog=TASK)
@study_options
def data(task: str, preset: str, corpus: str, location: str, device: str) -> None:
    """Say what a task's data are made of; a corpus is built first if it is not there."""
    print(json.dumps(_study(task, preset, corpus, location, device).task.describe(), indent=2))


@commands.command()
@preset_option
@click.option("--task", help="The claims about one experiment only; if left out, about all of the preset.")
@click.option("--json", "as_json", is_flag=True, help="For machines: a list of cells as JSON.")
def claims(preset: str, task: str | None, as_json: bool) -> None:
    """Test every claim, cell by cell: effect in percentage points, 95 % interval, verdict. A cell is a family of proxies on a
    split. What is missing is trained and measured first."""
    from lib.answers import to_text
    from lib.presets import load

    loaded = load(preset)
    studies = [loaded.study(name) for name in ([task] if task else loaded.claimed())]
    found = {study.name: study.task.findings(study) for study in studies}
    if as_json:
        print(json.dumps([{"task": name, **cell.plain()} for name, of in found.items() for cell in of], indent=2))
        return
    for study in studies:
        print(f"{study.name}, preset {loaded.name}, {study.seeds} seeds; effects in percentage points with 95 % intervals\n")
        print(to_text(found[study.name]) or "nothing is claimed about this task", end="\n\n")


@commands.command(cls=WithLists, epilog=AUDIT)
@click.argument("model")
@click.option("--in-distribution", required=True, metavar="TEXT", help="Text like that on which the picture is made.")
@click.option("--out-of-distribution", required=True, multiple=True, metavar="TEXT...", help="Text of other kinds.")
@click.option(
    "--proxies",
    multiple=True,
    metavar="PROXY...",
    help="As in svd:8,16,32 kmeans:64 one_hot; if left out, SVD at three ranks and one_hot.",
)
@click.option("--each", type=click.Choice(["none", "layer", "head"]), default="none", help="Simplify each by itself, too.")
@click.option("--sequences", type=int, default=200, show_default=True, help="Windows of each text to test on.")
@click.option("--length", type=int, help="Tokens of a window; 256, or as many as the model was made for.")
@click.option("--positions", type=int, default=32, show_default=True, help="Predictions of a window that are scored.")
@click.option("--oracles/--no-oracles", default=True, help="Whether proxies are fitted on the other texts, too.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Draws these predictions.")
@click.option("--gguf", metavar="FILE", help="The file to read, in a model's folder with several of GGUF.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto: cuda where there is one.")
@click.option("--dtype", default="float32", show_default=True, help="float32 or bfloat16: what the model computes in.")
@click.option("--threads", type=click.IntRange(1), help="How many threads to compute with; as many as there are cores.")
@click.option("--trust-remote-code", is_flag=True, help="Run the code that comes with a model.")
@click.option("--folder", type=click.Path(path_type=Path), help="Where results are kept; else in artifacts/audits.")
@click.option("--report", type=click.Path(path_type=Path), metavar="DIR", help="Write an executed notebook and its page there.")
@click.option("--fail-above", type=click.FloatRange(0, 100), metavar="POINTS", help="Exit with status 1 if a gap is larger.")
def audit(
    model: str,
    in_distribution: str,
    out_of_distribution: tuple[str, ...],
    proxies: tuple[str, ...],
    folder: Path | None,
    report: Path | None,
    fail_above: float | None,
    **options: object,
) -> int:
    """Say how often simplified pictures of a language model's attention predict what the model does, also on other text.

    MODEL, which comes first, is a folder, a GGUF file, or an id on the Hugging Face hub. A TEXT is a file or a folder, or
    NAME=PATH. Three sentences speak of the picture that agrees most; the table has all, and --fail-above looks at all.
    """
    from lib.audit import command
    from lib.audit.settings import Settings

    if report:
        from lib.report import check_folder, write

        check_folder(report.expanduser(), folder and folder.expanduser())  # before minutes are spent
    if fail_above is not None and math.isnan(fail_above):  # which no gap would ever be above
        raise InputError("--fail-above is nan, but must be a number of points, from 0 to 100")
    settings = {name: options.pop(name) for name in Settings.model_fields if name in options}
    settings = {name: value for name, value in settings.items() if value is not None}
    found, kept = command.run(model, [in_distribution, *out_of_distribution], proxies, settings, folder=folder, **options)
    print(f"{command.printed(found)}\nall measurements: {kept}")
    if report:
        print(f"the report: {write(kept, report)}")
    if fail_above is not None and (gaps := command.too_large(found, fail_above)):
        print(f"larger than {fail_above:g} points: {'; '.join(gaps)}", file=sys.stderr)
        return 1
    return 0


@commands.command()
@preset_option
@click.option("--cores", default="all", show_default=True, help="How many jobs at a time.")
@click.option("--retrain", is_flag=True, help="Train also the models that come with the repository.")
@click.argument("snakemake", nargs=-1)
def book(preset: str, cores: str, retrain: bool, snakemake: tuple[str, ...]) -> None:
    """Make all that is missing or out of date, and the book. What follows `--` is handed to Snakemake."""
    from lib import shipped
    from lib.presets import load
    from lib.workflow import build

    if cores != "all" and not (cores.isdecimal() and int(cores)):  # with none, Snakemake would wait for ever
        raise InputError(f"--cores is {cores!r}, but must be all or a whole number, at least 1")
    if retrain:
        os.environ[shipped.VARIABLE] = ""
    print(f"the book: {build(load(preset), cores, snakemake)}")


@commands.command()
@click.argument("notebook")
@preset_option
def execute(notebook: str, preset: str) -> None:
    """Execute one notebook of the book with papermill, as a step of `book`."""
    from lib.book import execute
    from lib.presets import load

    print(execute(load(preset), notebook))


@commands.command()
@preset_option
def assemble(preset: str) -> None:
    """Build the pages of a preset's book from its executed notebooks, as a step of `book`."""
    from lib.book import assemble
    from lib.presets import load

    print(assemble(load(preset)))


@commands.command()
@preset_option
def publish(preset: str) -> None:
    """Put a preset's executed notebooks, and what they load, into book/, for the published book; commit them afterwards."""
    from lib.presets import load
    from lib.publishing import publish

    publish(load(preset))


@commands.command()
@preset_option
@click.argument("tasks", nargs=-1)
def ship(preset: str, tasks: tuple[str, ...]) -> None:
    """Put the trained models of experiments of a preset, or of all, into published/, so that nobody has to train them again."""
    from lib.presets import load
    from lib.publishing import ship

    ship(load(preset), tasks)


@commands.command()
@click.option("--json", "as_json", is_flag=True, help="For machines: a list of items as JSON.")
def status(as_json: bool) -> int:
    """Say of all that is published whether it is current. If not, it is stale (with what has changed), damaged or missing, and
    the exit status is 1."""
    from lib.status import CURRENT, status

    items = list(status())
    if as_json:
        print(json.dumps([item._asdict() for item in items], indent=2))
    else:
        for item in items:
            print(f"{item.state:8} {item.name} ({item.file})" + f": {item.why}" * bool(item.why))
    return int(any(item.state != CURRENT for item in items))


@commands.command()
@preset_option
def clean(preset: str) -> None:
    """Remove the results of a preset: models, measurements, executed notebooks, its book."""
    from lib.presets import load
    from lib.workflow import clean

    clean(load(preset))


def _study(task: str, preset: str, corpus: str, location: str, device: str) -> Study:
    from lib.presets import load

    with looking_for("--location", location):
        location = location and str(Path(location).expanduser())
    return load(preset).study(task, None, device, corpus=corpus, location=location)
