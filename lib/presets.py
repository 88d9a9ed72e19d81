"""Everything that can be configured, and the three presets, in one place.

`smoke` runs every path in seconds and its numbers mean nothing; `quick` shows the effects in minutes on two cores; `paper`
is the full size, several seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lib.artifacts import root
from lib.code.languages import LANGUAGES
from lib.code.sources import jdk_sources
from lib.code.splits import CodeConfig
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
    mlp_bias: bool = True

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
    precision: str = "float32"  # of products in training; "bfloat16": autocast; "auto": that where the hardware gains from it

    def __post_init__(self):
        for name in ("steps", "batch_size", "evaluations", "heldout_sequences", "checkpoint_every", "threads"):
            whole_number(name, getattr(self, name), 1)
        whole_number("warmup_steps", self.warmup_steps, 0)
        one_of("precision", self.precision, ("float32", "bfloat16", "auto"))
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
    measured_sequences: int | None = None  # of each split, the first so many are measured; None: all

    def __post_init__(self):
        whole_number("fit_sequences", self.fit_sequences, 1)
        if self.measured_sequences is not None:
            whole_number("measured_sequences", self.measured_sequences, 1)


@dataclass(frozen=True)
class TaskPreset:
    """One task at one size."""

    data: DyckConfig | CodeConfig
    model: ModelConfig
    training: TrainingConfig
    study: StudyConfig
    seeds: int  # how many models; 0 is the first seed

    def __post_init__(self):
        whole_number("seeds", self.seeds, 1)
        for grid in (self.study.grid, self.study.along_training, self.study.oracle):
            for layer in grid:
                one_of("layer", layer, range(-1, self.model.layers))

    @property
    def split_size(self) -> str:
        """How many sequences of a split are measured, in words."""
        return self.data.split_size(self.study.measured_sequences)


@dataclass(frozen=True)
class Preset:
    """A size of the whole study: each task's configuration by the task's name."""

    name: str
    tasks: dict[str, TaskPreset]

    def task(self, name: str) -> TaskPreset:
        """The configuration of one task; `InputError` for a name that is not a task of this preset.

        Besides the tasks that the preset lists, `code-<language>` is `code` with another language to train on.
        """
        base, _, other = name.partition("-")
        if name not in self.tasks and base == "code" and "code" in self.tasks and other in LANGUAGES:
            code = self.tasks["code"]
            return replace(code, data=replace(code.data, language=other))
        one_of("task", name, self.tasks)
        return self.tasks[name]

    def available(self) -> list[str]:
        """The tasks whose data can be had here: all but those on Java where no JDK has its sources."""
        return [name for name, task in self.tasks.items() if getattr(task.data, "language", "") != "java" or jdk_sources()]


def with_corpus(preset_name: str, task: str, corpus: str, location: str) -> str:
    """Add a variant of a code task to a preset, for this process, that reads another corpus; returns its name."""
    base = preset(preset_name).task(task)
    if not isinstance(base.data, CodeConfig):
        raise InputError(f"task is {task!r}, which has no corpus: use code or code-<language>")
    name = f"{task}@{corpus}" + (f"-{Path(location).resolve().stem}" if location else "")
    PRESETS[preset_name].tasks[name] = replace(base, data=replace(base.data, corpus=corpus, location=location))
    return name


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


def _code(code: TaskPreset, java_seeds: int) -> dict[str, TaskPreset]:
    """`code`, which trains on Python, and the same the other way round."""
    return {"code": code, "code-java": replace(code, data=replace(code.data, language="java"), seeds=java_seeds)}


def _code_grid(layers: int, everywhere: Mapping[str, tuple], one_layer: Mapping[str, tuple]) -> Grid:
    return {-1: everywhere, **dict.fromkeys(range(layers), one_layer)}


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
        )
        | _code(
            TaskPreset(
                CodeConfig(package_functions=12, language_functions=700, context=64, split_sequences=40, fewest_sequences=20),
                ModelConfig(layers=2, heads=2, width=16, mlp_width=32, mlp_bias=False),
                TrainingConfig(
                    steps=30, warmup_steps=5, batch_size=16, evaluations=2, heldout_sequences=20, checkpoint_every=10
                ),
                StudyConfig(
                    grid=_code_grid(
                        2,
                        {"svd": (2, 4, 8), "kmeans": (8,), "one_hot": (None,), "weight_svd": (2, 4)},
                        {"svd": (4,), "kmeans": (8,), "one_hot": (None,), "weight_svd": (4,)},
                    ),
                    each_head={"svd": (4,), "kmeans": (8,), "one_hot": (None,), "weight_svd": (4,)},
                    fit_sequences=40,
                ),
                seeds=2,
            ),
            java_seeds=1,
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
            ),
            "code": TaskPreset(
                CodeConfig(package_functions=300, context=128, split_sequences=150),
                ModelConfig(layers=2, heads=4, width=64, mlp_width=256, mlp_bias=False),
                TrainingConfig(
                    steps=2_500,
                    batch_size=16,
                    peak_learning_rate=6e-3,
                    warmup_steps=100,
                    evaluations=6,
                    heldout_sequences=100,
                    precision="auto",
                ),
                StudyConfig(
                    grid=_code_grid(
                        2,
                        {"svd": (2, 4, 6, 8, 10, 12), "kmeans": (16, 64, 256), "one_hot": (None,), "weight_svd": (2, 4, 8, 12)},
                        {"svd": (4, 8), "kmeans": (64,), "one_hot": (None,), "weight_svd": (4,)},
                    ),
                    each_head={"svd": (4,), "kmeans": (64,), "one_hot": (None,), "weight_svd": (4,)},
                    fit_sequences=150,
                ),
                seeds=2,
            ),
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
        )
        | _code(
            TaskPreset(
                CodeConfig(split_sequences=500),
                ModelConfig(layers=4, heads=4, width=128, mlp_width=512, mlp_bias=False),
                TrainingConfig(
                    steps=6_000,
                    batch_size=16,
                    peak_learning_rate=4e-3,
                    evaluations=8,
                    heldout_sequences=200,
                    precision="auto",
                    checkpoint_every=500,
                ),
                StudyConfig(
                    grid=_code_grid(
                        4,
                        {
                            "svd": (4, 8, 12, 16, 20, 24),
                            "kmeans": (64, 256),
                            "one_hot": (None,),
                            "weight_svd": (4, 8, 16, 24),
                        },
                        {"svd": (8,), "kmeans": (256,), "one_hot": (None,), "weight_svd": (8,)},
                    ),
                    each_head={"svd": (8,), "kmeans": (256,), "one_hot": (None,), "weight_svd": (8,)},
                    fit_sequences=150,
                    measured_sequences=150,
                ),
                seeds=3,
            ),
            java_seeds=3,
        ),
    ),
)
PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _PRESETS}


def preset(name: str) -> Preset:
    """The preset called `name`; `InputError` names the allowed ones."""
    one_of("preset", name, PRESETS)
    return PRESETS[name]


def task_folder(preset_name: str, task: str) -> Path:
    """Where the results of a task at a preset are kept."""
    preset(preset_name).task(task)
    return root() / preset_name / task


def seed_folder(preset_name: str, task: str, seed: int) -> Path:
    """Where one seed's model and measurements are kept."""
    whole_number("seed", seed, 0, 2**32 - 1)
    return task_folder(preset_name, task) / f"seed-{seed}"
