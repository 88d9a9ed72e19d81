"""The code task: what can be configured, and how it presents itself to the rest of the project."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from lib.split import Dataset
from lib.tasks import Look, Reference, Task
from lib.tasks.code import corpora, humaneval, splits
from lib.tasks.code.files import sha256_of
from lib.tasks.code.languages import LANGUAGES
from lib.tasks.code.sources import jdk_sources

if TYPE_CHECKING:
    from lib.claims import Cell
    from lib.studies import Study
    from lib.tasks.code.corpora import Corpus

# Okabe and Ito's colours and a marker for each: black in the training language's own packages, else of the language.
_LOOKS = {
    "id": ("#000000", "o"), "seen_package": ("#6B6B6B", "v"),
    "python": ("#0072B2", "o"), "javascript": ("#E69F00", "s"), "java": ("#D55E00", "D"), "c": ("#009E73", "^"),
    "cpp": ("#CC79A7", "v"), "go": ("#56B4E9", "P"), "php": ("#F0E442", "X"), "ruby": ("#6B6B6B", "*"),
}  # fmt: skip
_TITLES = {"id": "in distribution", "seen_package": "packages seen in training"} | {n: of.title for n, of in LANGUAGES.items()}


class CodeTask(Task):
    """Functions in one language to train on, cut out of a corpus; tested on other packages and in other languages."""

    kind: ClassVar[str] = "code"
    title: ClassVar[str] = "source code"
    reference: ClassVar[str] = "id"
    chosen_on: ClassVar[str] = "seen_package"
    foreseen_by: ClassVar[tuple[str, ...]] = ("character",)
    key_covariate: ClassVar[str] = "character"
    same_sequences: ClassVar[bool] = True
    shared: ClassVar[bool] = True
    caveat: ClassVar[str] = (
        "Functions are drawn again but not packages: a statement about a language is one about the packages that ship it here."
    )
    made_by: ClassVar[tuple[str, ...]] = ("lib.tasks.code.splits", "lib.tasks.code.corpora")

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
    scored_characters: int = Field(10_000, ge=1)
    """Of each window at most so many are scored, drawn by chance."""
    fewest_sequences: int = Field(100, ge=1)
    """A language with fewer functions is left out."""
    held_out: float = Field(0.15, gt=0, lt=1)
    """Share of the packages of the training language that is for `id` alone."""

    def load(self) -> Corpus:
        """The corpus."""
        return corpora.corpus(self.corpus, self.location, self.package_functions, self.language_functions)

    def sample(self, seed: int) -> Dataset:
        """Windows of functions. The seed draws those that are evaluated; training text is the same for all."""
        return splits.dataset(self, seed)

    def identity(self) -> dict:
        """The corpus's sources and what cuts them; nothing is built for it.

        A JDK only if Java is trained on: it is read last, so that what is kept of another language does not depend on it.
        """
        return {"corpus": self._corpus()[0]}

    def tested_on(self) -> dict:
        """A JDK that is read for a split alone, and HumanEval-X, where it is at hand."""
        folder, java = humaneval.folder(), self._corpus()[1]
        return java | ({"humaneval_x": humaneval.identity(folder)} if folder else {})

    def _corpus(self) -> tuple[dict, dict]:
        """What the training text depends on, and what only splits do."""
        if self.corpus != "installed":
            return corpora.identity(self.corpus, self.location), {}
        archive = None if self.location else jdk_sources()
        found = _installed(self.location, archive and sha256_of(archive))
        if self.language == "java":
            return found, {}
        sources = dict(found["sources"])
        return found | {"sources": sources}, {"jdk": sources.pop("jdk")}

    def describe(self) -> dict:
        """The corpus's manifest."""
        return self.load().manifest

    def unavailable(self) -> str:
        """For Java, whether a JDK's sources are missing."""
        if self.language != "java" or self.corpus != "installed" or jdk_sources():
            return ""
        return "there are no sources of Java here: install a JDK with its sources, or set LIB_JAVA_SOURCES to a src.zip"

    def variants(self) -> list[str]:
        """The other languages, to train on instead."""
        return [name for name in LANGUAGES if name != self.language]

    def variant(self, name: str) -> CodeTask | None:
        """The same with another language to train on."""
        return self.model_copy(update={"language": name}) if name in LANGUAGES else None

    def size(self, sequences: int | None = None) -> str:
        """How much of a split is measured, in words; at most `sequences` functions, None for all."""
        most = min(self.split_sequences, sequences or self.split_sequences)
        some = f", of which {self.scored_characters}, drawn by chance, are scored"
        scored = some if self.scored_characters < self.context else ""
        return f"up to {most:,} functions a split, one window of at most {self.context} characters each{scored}"

    def look(self, split: str) -> Look:
        """Language by language; on HumanEval-X as elsewhere."""
        name = split.removeprefix(humaneval.PREFIX)
        title = _TITLES.get(name, name)
        return Look(title if name == split else f"HumanEval-X: {title}", *_LOOKS.get(name, ("#6B6B6B", "p")))

    def unseen(self, splits: Sequence[str]) -> list[str]:
        """Those of `splits` that are languages which were not trained on."""
        return [split for split in splits if split in LANGUAGES]

    def references(self, split: str) -> list[Reference]:
        """A further language: `id` with as many characters of each kind, and with the model as certain of them.

        On HumanEval-X, the same functions in the training language.
        """
        own = humaneval.PREFIX + self.language
        if split.startswith(humaneval.PREFIX):
            return [] if split == own else [Reference(own)]
        return [Reference("id", ("character",)), Reference("id", ("margin",))] if self.unseen([split]) else []

    def shown(self, splits: Sequence[str]) -> list[str]:
        """The training language's own splits, then the other languages; HumanEval-X has figures of its own."""
        return [split for split in ("id", "seen_package") if split in splits] + self.unseen(splits)

    def findings(self, study: Study) -> list[Cell]:
        """Claims 5 and 6."""
        from lib.tasks.code.claims import findings

        return findings(study)


@cache
def _installed(location: str, jdk: str | None) -> dict:
    """The identity of the corpus of installed packages, which stay the same while a process lives, and of a JDK's sources.

    It is kept here, as models depend on the code of the module that finds it out.
    """
    return corpora.identity("installed", location)
