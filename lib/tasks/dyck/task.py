"""The Dyck task: what of it can be configured, and what the rest of the project has to know about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from lib.split import Dataset, OnDemand, Sequences, Split
from lib.tasks import Look, Reference, Task

if TYPE_CHECKING:
    from lib.claims import Cell
    from lib.studies import Study

_LOOKS = {
    "iid": Look("in distribution", "#000000", "o"),
    "seen_structure": Look("seen structures", "#56B4E9", "v"),
    "unseen_structure": Look("new structures", "#009E73", "^"),
    "unseen_structure_long": Look("longer new structures", "#CC79A7", "<"),
    "unseen_length": Look("longer sentences", "#E69F00", "s"),
    "unseen_depth": Look("deeper sentences", "#D55E00", "D"),
    "iid_matched": Look("as long as the deeper ones", "#6B6B6B", "P"),
    "by_depth": Look("every depth alike", "#F0E442", "h"),
}

# What each split is compared with: matched in what it does not test, so that what it does test is left.
_REFERENCES = {
    "unseen_structure": [Reference("seen_structure", ("length",))],
    "unseen_structure_long": [Reference("seen_structure", ("length",))],
    "unseen_length": [Reference("iid", ("depth",))],
    "unseen_depth": [Reference("iid_matched"), Reference("iid_matched", ("depth",))],
}


class DyckTask(Task):
    """What is sampled. Lengths are in brackets; START and END come on top."""

    kind: ClassVar[str] = "dyck"
    title: ClassVar[str] = "Dyck"
    reference: ClassVar[str] = "iid"
    chosen_on: ClassVar[str] = "seen_structure"
    foreseen_by: ClassVar[tuple[str, ...]] = ("depth", "distance", "length", "sentence_depth", "frequency")
    key_covariate: ClassVar[str] = "depth"
    made_by: ClassVar[tuple[str, ...]] = ("lib.tasks.dyck.splits",)

    bracket_types: int = Field(default=20, ge=1, le=1_000)
    max_depth: int = Field(default=10, ge=1, le=99)
    """Of training sentences."""
    min_length: int = Field(default=6, ge=2, le=1_000)
    max_length: int = Field(default=64, ge=2, le=1_000)
    """Of training sentences."""
    p_end: float = Field(default=0.25, gt=0, le=1)
    """The automaton's probability to end a sentence at depth 0."""
    open_probability: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    """Its probability to open a bracket at depths 1, 2, ..., deeper its last value; empty: 1/2 everywhere."""
    training_sentences: int = Field(default=200_000, ge=1, le=10**8)
    split_sentences: int = Field(default=2_000, ge=1, le=10**7)
    """Of each split."""
    unseen_structure_length: int = Field(default=32, ge=2, le=1_000)
    """Longest sentence of `unseen_structure`; those of `unseen_structure_long` are longer."""
    unseen_length: int = Field(default=96, ge=4, le=1_000)
    """Longest sentence of `unseen_length`."""
    unseen_depth: int = Field(default=16, ge=2, le=100)
    """Deepest sentence of `unseen_depth` and `by_depth`."""
    min_distance: int = Field(default=10, ge=1, le=1_000)
    """Closers nearer to their opener are not scored (Murty et al. 2023)."""

    @model_validator(mode="after")
    def _limits_fit_together(self):
        for name, least, why in (
            ("max_length", self.min_length, "min_length"),
            ("unseen_length", self.max_length + 2, "max_length + 2"),
            ("unseen_depth", self.max_depth + 1, "max_depth + 1"),
            ("unseen_structure_length", self.min_length, "min_length"),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least {why} = {least}")
        if self.unseen_structure_length > self.max_length:
            raise ValueError(f"unseen_structure_length is {self.unseen_structure_length}, above max_length = {self.max_length}")
        return self

    def sample(self, seed: int) -> Dataset:
        """Training sentences and splits."""
        from lib.tasks.dyck.splits import dyck_data

        return dyck_data(self, seed)

    def look(self, split: str) -> Look:
        """How a split appears in figures; one of the user's own has a look of its own."""
        return _LOOKS.get(split, Look(split, "#0072B2", "X"))

    def size(self, sequences: int | None = None) -> str:
        """How much of a split is measured, in words."""
        return f"{min(self.split_sentences, sequences or self.split_sentences):,} sentences a split and seed"

    def shown(self, splits: Sequence[str]) -> list[str]:
        """All splits but the controls, which are shown where they are compared."""
        return [split for split in splits if split not in ("iid_matched", "by_depth")]

    def unseen(self, splits: Sequence[str]) -> list[str]:
        """Those of `splits` that hold what training did not."""
        return [split for split in splits if split in _REFERENCES]

    def references(self, split: str) -> list[Reference]:
        """Matched in length for a structure, in depth for a length; for a depth in length, then in the brackets' depth too."""
        return _REFERENCES.get(split, [])

    def fitting_sources(self, training: Sequences, count: int, seed: int) -> Mapping[str, Sequences]:
        """`training_balanced`: as many positions of each bracket depth."""
        from lib.tasks.dyck.splits import balanced

        return OnDemand({"training_balanced": lambda: balanced(training, count, self.bracket_types, seed)})

    def read_split(self, file: Path) -> Split:
        """A file of sentences, one a line; see `lib.tasks.dyck.text` for its form and for what is refused.

        It has no covariate `frequency`: that depends on the training sentences, which are drawn anew for each seed.
        """
        from lib.tasks.dyck.splits import dyck_split
        from lib.tasks.dyck.text import read_sentences

        sentences = read_sentences(file, self.bracket_types, max_length=self.unseen_length)
        return dyck_split(Path(file).stem, sentences, self)

    def findings(self, study: Study) -> list[Cell]:
        """Claims 1 to 4."""
        from lib.tasks.dyck.claims import findings

        return findings(study)
