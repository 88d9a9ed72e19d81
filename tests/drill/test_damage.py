"""Every file that is kept, damaged in every way: the error names it and a remedy, and the remedy, word for word, helps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from code_samples import write_tree
from safetensors.torch import save_file
from test_code_cli import SMALL

from drill.child import use
from drill.support import Ended, contents, differing, lib, remedy, shell, started


def truncate(path: Path, other: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def flip(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def swap(path: Path, other: Path) -> None:
    shutil.copy(other, path)


def remove(path: Path, other: Path) -> None:
    path.unlink()


def fold(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path, other: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


WAYS = (truncate, flip, empty, swap, remove, fold, pipe, endless)
FILES = (
    "seed-0/config.json", "seed-0/model.safetensors", "seed-0/snapshots.safetensors", "seed-0/training.csv",
    "seed-0/measurements.json", "seed-0/measurements.parquet", "seed-0/along_training.parquet", "seed-0/proxies.json",
    "seed-0/proxies.safetensors", "faithfulness.json", "faithfulness.parquet",
)  # fmt: skip
GOES_WELL = 4  # remedies that are followed at most: each may bring the next piece of damage to light


def mended(look: Callable[[], Ended], path: Path) -> list[str]:
    """Look at results and follow the remedies that are named until nothing is wrong; returns the errors, the first of which has
    to name the file."""
    errors = []
    while (ended := look()).status:
        errors.append(ended.error)
        assert str(path) in errors[0] or f"{path.parent} holds a model of something else" in errors[0], errors
        assert len(errors) < GOES_WELL, errors
        done = shell(remedy(ended.error))
        assert done.returncode == 0, (ended.error, done.stderr)
    return errors


@pytest.mark.kind("damaged results")
@pytest.mark.parametrize("damage", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_result_is_refused_with_a_remedy_that_works_or_made_again(tiny, tiny_study, tiny_artifacts, file, damage):
    """In the end all is, to the byte, as if nothing had happened."""
    path = tiny_study / file
    other = tiny_study / (file.replace("seed-0", "seed-1") if "seed-0" in file else f"seed-0/{MEASURED[path.suffix]}")
    damage(path, other)
    mended(lambda: started(use, tiny, "dyck").ended(), path)
    assert differing(tiny_study.parent.parent, contents(tiny_artifacts)) == []


MEASURED = {".json": "measurements.json", ".parquet": "measurements.parquet"}


# Checkpoints, also such as nobody but a hand has made


def by_hand(path: Path, other: Path) -> None:
    save_file({"weight": torch.zeros(3)}, path, {"progress": "{}", "belongs_to": "somebody"})


@pytest.mark.kind("damaged checkpoints")
@pytest.mark.parametrize("damage", [truncate, flip, empty, swap, fold, pipe, endless, by_hand], ids=lambda way: way.__name__)
def test_a_damaged_checkpoint_is_refused_with_a_remedy_that_works(tiny, tiny_study, tiny_artifacts, tmp_path, damage):
    path, model = tiny_study / "seed-0/checkpoint.safetensors", tiny_study / "seed-0/model.safetensors"
    shutil.copy(model, path)
    shutil.copy(model, tmp_path / "other")
    for name in ("config.json", "model.safetensors", "snapshots.safetensors", "training.csv"):
        (tiny_study / "seed-0" / name).unlink()
    damage(path, tmp_path / "other")
    errors = mended(lambda: lib("train", "dyck", "--preset", tiny), path)
    assert errors, "it was taken for a checkpoint"
    assert differing(tiny_study.parent.parent, contents(tiny_artifacts)) == []


# A corpus


@pytest.fixture(scope="module")
def corpus(write_preset, tmp_path_factory) -> tuple[tuple[str, ...], dict[str, bytes]]:
    """A command that builds a corpus, and what it leaves."""
    folder = tmp_path_factory.mktemp("corpus")
    preset = write_preset(folder / "small.toml", {"code": SMALL})
    write_tree(folder / "my project", {"python": 12, "javascript": 2}, functions=8)
    command = ("data", "code", "--preset", str(preset), "--corpus", "directory", "--location", str(folder / "my project"))
    assert lib(*command, environment={"LIB_ARTIFACTS": str(folder / "artifacts")}).status == 0
    return command, contents(folder / "artifacts")


@pytest.mark.kind("damaged corpora")
@pytest.mark.parametrize("damage", WAYS, ids=lambda way: way.__name__)
def test_a_damaged_corpus_is_refused_with_a_remedy_that_works_or_made_again(corpus, tmp_path, damage):
    command, whole = corpus
    (name,) = whole
    path = tmp_path / "artifacts" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(whole[name])
    (tmp_path / "other").write_bytes(b"PAR1")
    damage(path, tmp_path / "other")
    mended(lambda: lib(*command), path)
    assert differing(tmp_path / "artifacts", whole) == []


# Models that come with the repository


@pytest.mark.kind("damaged models of the repository")
@pytest.mark.parametrize("damage", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_damaged_model_of_the_repository_is_refused(tiny, tiny_artifacts, tmp_path, file, damage):
    """Its remedy asks git, which does not keep this one, for it."""
    shipped = tmp_path / "shipped/tiny/dyck/seed-0"
    shipped.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "snapshots.safetensors", "training.csv"):
        shutil.copy(tiny_artifacts / "tiny/dyck/seed-0" / name, shipped)
    damage(shipped / file, tiny_artifacts / "tiny/dyck/seed-1" / file)
    ended = lib("train", "dyck", "--preset", tiny, environment={"LIB_PUBLISHED": str(tmp_path / "shipped")})
    if damage is swap and file == "config.json":
        assert ended.status == 0, "one of another seed is as good as none"
    else:
        assert str(shipped / file) in ended.error
        assert remedy(ended.error).startswith("mv " if damage in (fold, pipe, endless) else "git -C ")
        assert str(shipped) in remedy(ended.error)
