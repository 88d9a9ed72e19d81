"""The code task: what can be configured, and how it presents itself to the rest of the project."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from lib.split import Dataset
from lib.tasks import Look, Task
from lib.tasks.code import corpora, humaneval, splits
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.sources import jdk_sources

if TYPE_CHECKING:
    from lib.tasks.code.corpora import Corpus

_HUMANEVAL = "humaneval_x/"
# Okabe and Ito's colours and a marker for each: black in the training language's own packages, else of the language.
_LOOKS = {
    "id": ("#000000", "o"), "seen_package": ("#6B6B6B", "v"),
    "python": ("#0072B2", "o"), "javascript": ("#E69F00", "s"), "java": ("#D55E00", "D"), "c": ("#009E73", "^"),
    "cpp": ("#CC79A7", "v"), "go": ("#56B4E9", "P"), "php": ("#F0E442", "X"), "ruby": ("#6B6B6B", "*"),
}  # fmt: skip


class CodeTask(Task):
    """Functions in one language to train on, cut out of a corpus; tested on other packages and in other languages."""

    kind = "code"
    title = "source code"
    reference = "id"
    chosen_on = "seen_package"
    same_sequences = True
    made_by = ("lib.tasks.code.splits",)

    corpus: Literal[*corpora.CORPORA] = "installed"
    """Where functions come from."""
    location: str = ""
    """Folder, archive, or nothing, as the corpus asks for."""
    language: Literal[*LANGUAGES] = "python"
    """The language that is trained on."""
    context: int = Field(256, ge=8, le=10_000)
    """Characters that are predicted in a window, each from what stands before it there."""
    package_functions: int = Field(1_000, ge=1)
    """At most so many functions of one package."""
    language_functions: int = Field(40_000, ge=1)
    """At most so many functions of one language."""
    split_sequences: int = Field(1_000, ge=1)
    """Functions of each split, one window of each; of a language that has fewer, all."""
    fewest_sequences: int = Field(100, ge=1)
    """A language with fewer functions is left out."""
    held_out: float = Field(0.15, gt=0, lt=1)
    """Share of the packages of the training language that is for `id` alone."""

    def load(self) -> Corpus:
        """The corpus."""
        return splits.load(self)

    def sample(self, seed: int) -> Dataset:
        """Windows of functions. The seed draws those that are evaluated; training text is the same for all."""
        return splits.dataset(self, seed)

    def identity(self) -> dict:
        """The corpus's sources, what cuts them, and HumanEval-X where it is at hand; nothing is built for it."""
        folder = humaneval.folder()
        return {
            "corpus": corpora.identity(self.corpus, self.location),
            "humaneval_x": humaneval.identity(folder) if folder else None,
        }

    def unavailable(self) -> str:
        """For Java, whether a JDK's sources are missing."""
        if self.language != "java" or self.corpus != "installed" or jdk_sources():
            return ""
        return "there is no JDK with its sources here: install one, or set LIB_JAVA_SOURCES to a src.zip"

    def size(self, sequences: int | None = None) -> str:
        """How much of a split is measured, in words; at most `sequences` functions, None for all."""
        most = min(self.split_sequences, sequences or self.split_sequences)
        return f"up to {most:,} functions a split, one window of at most {self.context} characters each"

    def look(self, split: str) -> Look:
        """Language by language; on HumanEval-X as elsewhere."""
        known = split.removeprefix(_HUMANEVAL)
        title = LANGUAGES[known].title if known in LANGUAGES else known
        label = f"HumanEval-X: {title}" if split.startswith(_HUMANEVAL) else title
        return Look(label, *_LOOKS.get(known, ("#6B6B6B", "p")))

    def unseen(self, splits: Sequence[str]) -> list[str]:
        """Those of `splits` that are languages which were not trained on."""
        return [split for split in splits if split in LANGUAGES]

    def shown(self, splits: Sequence[str]) -> list[str]:
        """The training language's own splits, then the other languages; HumanEval-X has figures of its own."""
        return [split for split in ("id", "seen_package") if split in splits] + self.unseen(splits)
