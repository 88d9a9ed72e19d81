"""Whatever files and folders are called: commands work, no shell takes a name for a command, remedies do as they say."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from code_samples import write_tree
from test_code_cli import SMALL

from drill.child import use
from drill.support import contents, differing, lib, remedy, shell, started

NAMES = (
    "a b", "it's", 'say "so"', "é 🙂", "日本語", "$HOME", "$(touch PWNED)", "`touch PWNED`", "a;touch PWNED", "a&touch PWNED",
    "a|touch PWNED", "a>PWNED", "*?[z]", "{x} {{y}}", "# %s", "a=b,c", "-n", "--help", "~", "!\\", "a\nb\tc", ".hidden", "a:b",
)  # fmt: skip


@pytest.mark.kind("names of folders and files")
@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_made_and_mended_whatever_things_are_called(tiny, tiny_artifacts, tmp_path, name):
    """Preset, results and a file of sentences bear the name."""
    home = tmp_path / name
    home.mkdir()
    preset, artifacts = home / f"{name}x.toml", home / f"of {name}"
    shutil.copy(tiny, preset)
    where = {"LIB_ARTIFACTS": str(artifacts)}
    shutil.copytree(tiny_artifacts / "tiny", artifacts / preset.stem)
    study = artifacts / preset.stem / "dyck"
    for damaged in ("seed-0/model.safetensors", "seed-0/measurements.json"):
        os.truncate(study / damaged, 100)
        ended = started(use, str(preset), "dyck", environment=where).ended()
        error = ended.err.removesuffix("\n")  # of two lines where a name has two
        assert (ended.status, ended.out) == (2, "")
        assert error.startswith(f"error: {study / damaged} ")
        done = shell(remedy(error), where)
        assert done.returncode == 0, (error, done.stderr)
        assert started(use, str(preset), "dyck", environment=where).ended().status == 0
    assert differing(artifacts / preset.stem, contents(tiny_artifacts / "tiny")) == []
    mine = home / f"{name}mine.txt"
    mine.write_text("(a (b (c c) b) a)\n")
    ended = lib("evaluate", "dyck", "--preset", str(preset), "--sentences", str(mine), environment=where)
    assert ended.status == 0, ended.err
    assert (study / f"faithfulness-{mine.stem}.parquet").exists()
    assert not list(Path(tmp_path).rglob("PWNED"))


@pytest.mark.kind("names of locations")
@pytest.mark.parametrize("name", NAMES[::4])
def test_a_remedy_names_the_location_whatever_it_is_called(write_preset, tmp_path, name):
    preset = write_preset(tmp_path / "small.toml", {"code": SMALL})
    location = write_tree(tmp_path / name, {"python": 12, "javascript": 2}, functions=8)
    command = ("train", "code", "--preset", str(preset), "--corpus", "directory", "--location", str(location))
    assert lib(*command).status == 0
    write_tree(location, {"python": 13}, functions=8)
    error = lib(*command).err.rpartition("error: ")[2].removesuffix("\n")  # of two lines where the name has two
    done = shell(remedy(error))
    assert done.returncode == 0, (error, done.stderr)
    assert lib(*command).status == 0
    assert not list(tmp_path.rglob("PWNED"))
