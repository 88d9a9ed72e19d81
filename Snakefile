"""What depends on what, from data to the book. `python -m lib book` calls it, in the folder of a preset's results.

All files are relative to that folder, and every value that reaches a shell is quoted. What is out of date although its file is
there, `python -m lib book` finds out by fingerprints and checksums, and has it made again: so no source is listed here.
"""

import os
import sys

from lib import presets
from lib.book import notebooks

PRESET = presets.load(os.environ["PRESET"])
PYTHON = sys.executable
TASKS = PRESET.available()
NOTEBOOKS = notebooks(PRESET)
MEMORY = 1_500  # megabytes that a job takes at most


def seeds(task, file):
    """A file of every seed of a task."""
    return [f"{task}/seed-{seed}/{file}" for seed in range(PRESET.experiment(task).seeds)]


wildcard_constraints:
    task="|".join(TASKS),
    seed=r"\d+",


rule all:  # every part, so that one that went missing is made again
    input:
        [path for task in TASKS for file in ("config.json", "measurements.json") for path in seeds(task, file)],
        expand("{task}/faithfulness.json", task=TASKS),
        expand("notebooks/{notebook}.json", notebook=NOTEBOOKS),
        "book.json",


rule book:
    input:
        expand("notebooks/{notebook}.json", notebook=NOTEBOOKS),
    output:
        "book.json",  # written at the end; the folder itself is replaced as a whole
    shell:
        "{PYTHON:q} -m lib assemble --preset {PRESET.given:q}"


rule notebook:
    input:
        lambda wildcards: [f"{task}/faithfulness.json" for task in NOTEBOOKS[wildcards.notebook]],
    output:
        "notebooks/{notebook}.json",
        "notebooks/{notebook}.ipynb",
    resources:
        mem_mb=MEMORY,
    shell:
        "{PYTHON:q} -m lib execute {wildcards.notebook:q} --preset {PRESET.given:q}"


rule results:
    input:
        lambda wildcards: seeds(wildcards.task, "measurements.json"),
    output:
        "{task}/faithfulness.json",
        "{task}/faithfulness.parquet",
    resources:
        mem_mb=MEMORY,
    shell:
        "{PYTHON:q} -m lib evaluate {wildcards.task:q} --preset {PRESET.given:q}"


rule measure:
    input:
        "{task}/seed-{seed}/config.json",
    output:
        "{task}/seed-{seed}/measurements.json",
        "{task}/seed-{seed}/measurements.parquet",
        "{task}/seed-{seed}/along_training.parquet",
    resources:
        mem_mb=MEMORY,
    threads: lambda wildcards: PRESET.experiment(wildcards.task).training.threads
    shell:
        "{PYTHON:q} -m lib evaluate {wildcards.task:q} --preset {PRESET.given:q} --seed {wildcards.seed:q}"


rule train:
    output:
        "{task}/seed-{seed}/config.json",
        "{task}/seed-{seed}/model.safetensors",
        "{task}/seed-{seed}/snapshots.safetensors",
        "{task}/seed-{seed}/training.csv",
    resources:
        mem_mb=MEMORY,
    threads: lambda wildcards: PRESET.experiment(wildcards.task).training.threads
    shell:
        "{PYTHON:q} -m lib train {wildcards.task:q} --preset {PRESET.given:q} --seed {wildcards.seed:q} --replace"
