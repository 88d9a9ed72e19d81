"""Everything that can be configured, and the three presets, in one place.

`smoke` runs every path in seconds and its numbers mean nothing; `quick` shows the effects in minutes on two cores; `paper`
is the full size, several seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

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
    threads: int = 1  # on the CPU; seeds run in parallel instead. Part of the configuration: sums depend on it in the last bits
    precision: str = "float32"  # of matrix products in training, or "bfloat16" (autocast; weights stay float32)

    def __post_init__(self):
        for name in ("steps", "batch_size", "evaluations", "heldout_sequences", "checkpoint_every", "threads"):
            whole_number(name, getattr(self, name), 1)
        whole_number("warmup_steps", self.warmup_steps, 0)
        one_of("precision", self.precision, ("float32", "bfloat16"))
        if not 0 < self.peak_learning_rate < 1:
            raise InputError(f"peak_learning_rate is {self.peak_learning_rate!r}, but must lie between 0 and 1")


Grid = Mapping[int, Mapping[str, tuple[int | None, ...]]]
"""Simplifications: by layer (0 the first, -1 all at once), by proxy, the complexities; None for a proxy without one."""


@dataclass(frozen=True)
class StudyConfig:
    """Which simplifications are measured, and on what they are fitted."""

    grid: Grid  # fitted on training sequences, measured on every split
    along_training: Grid = field(default_factory=dict)  # measured at every evaluation along training as well
    oracle: Grid = field(default_factory=dict)  # fitted on each of `oracle_splits`, and measured on that split alone
    oracle_splits: tuple[str, ...] = ("iid", "unseen_length", "unseen_depth")
    each_head: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)  # each head on its own, as `grid` else
    fit_sequences: int = 1_000  # training sequences that proxies are fitted on

    def __post_init__(self):
        whole_number("fit_sequences", self.fit_sequences, 1)


@dataclass(frozen=True)
class TaskPreset:
    """One task at one size."""

    data: DyckConfig
    model: ModelConfig
    training: TrainingConfig
    study: StudyConfig
    seeds: int  # how many models; 0 is the first seed

    def __post_init__(self):
        whole_number("seeds", self.seeds, 1)
        for grid in (self.study.grid, self.study.along_training, self.study.oracle):
            for layer in grid:
                one_of("layer", layer, range(-1, self.model.layers))


@dataclass(frozen=True)
class Preset:
    """A size of the whole study: each task's configuration by the task's name."""

    name: str
    tasks: Mapping[str, TaskPreset]

    def task(self, name: str) -> TaskPreset:
        """The configuration of one task; `InputError` for a name that is not a task of this preset."""
        one_of("task", name, self.tasks)
        return self.tasks[name]


def _dyck_positions(task: TaskPreset, seeds: int) -> dict[str, TaskPreset]:
    """`task` as `dyck`, and variants of it with other position encodings."""
    variants = {
        f"dyck-{positions}": replace(
            task,
            model=replace(task.model, positions=positions),
            study=replace(task.study, along_training={}, oracle={}),
            seeds=seeds,
        )
        for positions in ("sinusoidal", "none")
    }
    return {"dyck": task, **variants}


_OTHER_LAYERS: Grid = {layer: {"svd": (2, 8), "kmeans": (16,), "one_hot": (None,)} for layer in (0, -1)}
_ALONG_TRAINING: Grid = {1: {"svd": (4, 8, 16), "one_hot": (None,)}, 0: {"svd": (8,)}}
_PRESETS = (
    Preset(
        "smoke",
        _dyck_positions(
            TaskPreset(
                DyckConfig(training_sentences=4_000, split_sentences=60),
                ModelConfig(),
                TrainingConfig(
                    steps=60, warmup_steps=10, batch_size=64, evaluations=3, heldout_sequences=40, checkpoint_every=25
                ),
                StudyConfig(
                    grid={
                        1: {
                            "svd": (2, 4, 8, 16, 32),
                            "svd_uncentred": (8,),
                            "kmeans": (16, 64),
                            "one_hot": (None,),
                            "weight_svd": (8,),
                            "random_subspace": (8,),
                        },
                        **_OTHER_LAYERS,
                    },
                    along_training=_ALONG_TRAINING,
                    oracle={1: {"svd": (8,), "kmeans": (64,)}},
                    fit_sequences=100,
                ),
                seeds=2,
            ),
            seeds=1,
        ),
    ),
    Preset(
        "quick",
        {
            "dyck": TaskPreset(
                DyckConfig(split_sentences=1_000),
                ModelConfig(),
                TrainingConfig(steps=5_000, evaluations=10, heldout_sequences=400),
                StudyConfig(
                    grid={
                        1: {
                            "svd": (1, 2, 4, 6, 8, 12, 16, 32),
                            "svd_uncentred": (2, 4, 8, 16),
                            "kmeans": (16, 64, 256),
                            "one_hot": (None,),
                            "weight_svd": (2, 4, 8, 16),
                            "random_subspace": (4, 8, 16, 24),
                        },
                        **_OTHER_LAYERS,
                    },
                    along_training=_ALONG_TRAINING,
                    oracle={1: {"svd": (4, 8), "kmeans": (64,)}},
                ),
                seeds=2,
            )
        },
    ),
    Preset(
        "paper",
        _dyck_positions(
            TaskPreset(
                DyckConfig(split_sentences=2_000),
                ModelConfig(),
                TrainingConfig(steps=12_000, evaluations=20, heldout_sequences=500),
                StudyConfig(
                    grid={
                        1: {
                            "svd": (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32),
                            "svd_uncentred": (2, 4, 8, 16),
                            "kmeans": (16, 32, 64, 128, 256, 512),
                            "one_hot": (None,),
                            "weight_svd": (1, 2, 4, 6, 8, 12, 16, 24),
                            "random_subspace": (2, 4, 8, 12, 16, 24),
                        },
                        **_OTHER_LAYERS,
                    },
                    along_training=_ALONG_TRAINING,
                    oracle={1: {"svd": (2, 4, 6, 8), "kmeans": (64, 256)}},
                ),
                seeds=5,
            ),
            seeds=2,
        ),
    ),
)
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _PRESETS}


def preset(name: str) -> Preset:
    """The preset called `name`; `InputError` names the allowed ones."""
    one_of("preset", name, PRESETS)
    return PRESETS[name]
