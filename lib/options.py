"""What commands say in their help, and options that several of them have."""

from __future__ import annotations

from collections.abc import Callable

import click

EXAMPLES = """\b
Examples:
  python -m lib train dyck --preset quick --seed 0
  python -m lib evaluate dyck --preset quick
  python -m lib evaluate dyck --preset quick --sentences mine.txt
  python -m lib evaluate code-javascript --corpus directory --location ~/my-project
  python -m lib claims --preset quick
  python -m lib audit ~/my-model --in-distribution a.txt --out-of-distribution b.txt
  python -m lib book --preset quick
"""
AUDIT = """\b
Example:
  python -m lib audit ~/model --in-distribution english.txt --out-of-distribution german.txt code/ --proxies svd:8,16 one_hot
"""
TASK = "TASK is an experiment of the preset, such as dyck (a language of nested brackets) or code; code-<language> is one, too."
PRESET = (
    "Size of everything: smoke (seconds, meaningless numbers), quick (minutes), paper (half an hour; hours if models are "
    "trained), or the path of a TOML file of your own."
)


preset_option = click.option("--preset", default="quick", show_default=True, help=PRESET)
task_option = click.argument("task")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), help="A whole number from 0 on; all else follows from it."
)
replace_option = click.option("--replace", is_flag=True, help="Train anew what was trained on something else, or is damaged.")


def study_options(function: Callable) -> Callable:
    """Options of every command that is about one study."""
    for option in (
        click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto: cuda where there is one."),
        click.option("--location", default="", metavar="PATH", help="What the corpus is read from, for tasks that have one."),
        click.option("--corpus", default="", help="Where a task's text comes from, for tasks that have a corpus."),
        preset_option,
        task_option,
    ):
        function = option(function)
    return function


class WithLists(click.Command):
    """A command whose options that may be repeated also take several values in a row, up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each further value."""
        lists = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        written, of = [], None
        for given in args:
            if given.startswith("-"):
                of = given if given in lists else None
            elif of and written[-1] != of:
                written.append(of)
            written.append(given)
        return super().parse_args(ctx, written)
