"""What depends on what, from data to the book. `python -m lib book` calls it, in the folder of a preset's results.

All files are relative to that folder, and every value that reaches a shell is quoted. What is out of date although its file is
there, `python -m lib book` finds out by fingerprints and checksums, and has it made again: so no source is listed here.
"""

import os
import sys

from lib import executing, presets
from lib.artifacts import read_json
from lib.book import notebooks
from lib.workflow import memory

PRESET = presets.load(os.environ["PRESET"])
PYTHON = sys.executable
TASKS = PRESET.available()
NOTEBOOKS = notebooks(PRESET)


def seeds(task):
    """What every seed of a task leaves last."""
    return [f"{task}/seed-{seed}/measurements.json" for seed in range(PRESET.experiment(task).seeds)]


def length(task):
    """Roughly how long a seed of a task takes. Long ones begin first, so that at the end no core waits."""
    experiment = PRESET.experiment(task)
    return len(experiment.simplifications()) * experiment.model.width


def cells(notebook):
    """Roughly how long a notebook takes, for the same reason."""
    return len(read_json(executing.NOTEBOOKS / f"{notebook}.ipynb", "restore it")["cells"])


wildcard_constraints:
    task="|".join(TASKS),
    seed=r"\d+",


# On a cluster, these take less time than it takes to submit them; seeds and notebooks are jobs (`profiles/slurm`).
localrules:
    all,
    book,
    results,


rule all:  # every part, so that one that went missing is made again
    input:
        [path for task in TASKS for path in seeds(task)],
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
        mem_mb=memory(PRESET),
    priority: lambda wildcards: cells(wildcards.notebook)
    shell:
        "{PYTHON:q} -m lib execute {wildcards.notebook:q} --preset {PRESET.given:q}"


rule results:
    input:
        lambda wildcards: seeds(wildcards.task),
    output:
        "{task}/faithfulness.json",
        "{task}/faithfulness.parquet",
    resources:
        mem_mb=memory(PRESET),
    priority: 10**5  # notebooks wait for it
    shell:
        "{PYTHON:q} -m lib evaluate {wildcards.task:q} --preset {PRESET.given:q}"


rule seed:  # trained unless it is, then measured; the model is no output, as Snakemake would remove it before
    input:
        lambda wildcards: ancient(f"{wildcards.task}/data.json") if PRESET.experiment(wildcards.task).task.shared else [],
    output:
        "{task}/seed-{seed}/measurements.json",
    resources:
        mem_mb=memory(PRESET),
    threads: lambda wildcards: PRESET.experiment(wildcards.task).training.threads
    priority: lambda wildcards: length(wildcards.task)
    shell:
        "{PYTHON:q} -m lib evaluate {wildcards.task:q} --preset {PRESET.given:q} --seed {wildcards.seed:q} --replace"


rule data:  # once, before every seed makes the same
    output:
        "{task}/data.json",
    priority: 10**6  # seeds wait for it
    shell:
        "{PYTHON:q} -m lib data {wildcards.task:q} --preset {PRESET.given:q} > {output:q}"
