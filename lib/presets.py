"""Everything that can be configured, and the three presets, in one place.

`smoke` runs every path in seconds and its numbers mean nothing; `quick` shows the effects in minutes on two cores; `paper`
is the full size, several seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lib.dyck.splits import DyckConfig
from lib.errors import InputError, one_of, whole_number


@dataclass(frozen=True)
class ModelConfig:
    """The Transformer's shape."""

    layers: int = 2
    heads: int = 1
    width: int = 32  # of the residual stream; each head gets width / heads of it
    mlp_width: int = 128
    positions: str = "learned"  # or "sinusoidal", "none"

    def __post_init__(self):
        for name in ("layers", "heads", "width", "mlp_width"):
            whole_number(name, getattr(self, name), 1)
        if self.width % self.heads:
            raise InputError(f"width is {self.width}, but must be a multiple of heads = {self.heads}")
        one_of("positions", self.positions, ("learned", "sinusoidal", "none"))

    @property
    def head_width(self) -> int:
        """Dimensions of a head's queries and keys."""
        return self.width // self.heads


@dataclass(frozen=True)
class TrainingConfig:
    """AdamW with linear warm-up and cosine decay to zero."""

    steps: int
    batch_size: int = 128  # sequences
    peak_learning_rate: float = 3e-3
    warmup_steps: int = 200
    weight_decay: float = 0.01  # of weight matrices
    clip_norm: float = 1.0  # largest norm of the gradient
    evaluations: int = 12  # times that the held-out splits are scored along the way
    heldout_sequences: int = 500  # of each split, along the way
    checkpoint_every: int = 1_000  # steps; an interrupted run resumes from the last one
    threads: int = 2  # on the CPU; part of the configuration because sums depend on it in the last bits

    def __post_init__(self):
        for name in ("steps", "batch_size", "evaluations", "heldout_sequences", "checkpoint_every", "threads"):
            whole_number(name, getattr(self, name), 1)
        whole_number("warmup_steps", self.warmup_steps, 0)
        if not 0 < self.peak_learning_rate < 1:
            raise InputError(f"peak_learning_rate is {self.peak_learning_rate!r}, but must lie between 0 and 1")


@dataclass(frozen=True)
class StudyConfig:
    """Which simplifications are measured. Every proxy is tried in each of `layers`, one layer at a time."""

    proxies: Mapping[str, tuple[int | None, ...]] = field(
        default_factory=lambda: {"svd": (1, 2, 4, 8, 16, 32), "kmeans": (16, 64, 256), "one_hot": (None,)}
    )  # name -> complexities: ranks, numbers of clusters, or None for a proxy without one
    layers: tuple[int, ...] = (0, 1)  # counted from 0
    fit_sequences: int = 1_000  # training sequences that data-dependent proxies are fitted on

    def __post_init__(self):
        whole_number("fit_sequences", self.fit_sequences, 1)


@dataclass(frozen=True)
class TaskPreset:
    """One task at one size."""

    data: DyckConfig
    model: ModelConfig
    training: TrainingConfig
    study: StudyConfig

    def __post_init__(self):
        for layer in self.study.layers:
            one_of("layers", layer, range(self.model.layers))


@dataclass(frozen=True)
class Preset:
    """A size of the whole study: how many seeds, and each task's configuration."""

    name: str
    seeds: int  # how many; 0 is the first
    tasks: Mapping[str, TaskPreset]

    def task(self, name: str) -> TaskPreset:
        """The configuration of one task; `InputError` for a name that is not a task."""
        one_of("task", name, self.tasks)
        return self.tasks[name]


_PRESETS = (
    Preset(
        "smoke",
        seeds=2,
        tasks={
            "dyck": TaskPreset(
                DyckConfig(training_sentences=4_000, split_sentences=60),
                ModelConfig(),
                TrainingConfig(
                    steps=60,
                    warmup_steps=10,
                    batch_size=64,
                    evaluations=3,
                    heldout_sequences=60,
                    checkpoint_every=25,
                    threads=1,
                ),
                StudyConfig({"svd": (2, 4, 8, 16, 32), "kmeans": (16, 64), "one_hot": (None,)}, fit_sequences=100),
            )
        },
    ),
    Preset(
        "quick",
        seeds=1,
        tasks={"dyck": TaskPreset(DyckConfig(), ModelConfig(), TrainingConfig(steps=5_000), StudyConfig())},
    ),
    Preset(
        "paper",
        seeds=5,
        tasks={
            "dyck": TaskPreset(
                DyckConfig(split_sentences=4_000),
                ModelConfig(),
                TrainingConfig(steps=20_000, evaluations=40, heldout_sequences=1_000, threads=1),
                StudyConfig(
                    {"svd": (1, 2, 3, 4, 6, 8, 12, 16, 24, 32), "kmeans": (16, 32, 64, 128, 256, 512), "one_hot": (None,)}
                ),
            )
        },
    ),
)
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _PRESETS}


def preset(name: str) -> Preset:
    """The preset called `name`; `InputError` names the allowed ones."""
    one_of("preset", name, PRESETS)
    return PRESETS[name]
