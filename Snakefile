"""What depends on what, from training to the book. `make book` calls it; rules share nothing but files.

    snakemake --cores all --config preset=quick
"""

import json
import os
import sys
from dataclasses import asdict

from lib.artifacts import root
from lib.code.splits import humaneval_folder
from lib.presets import preset

# `python`, papermill and jupyter-book are those of the environment that runs Snakemake, whether or not it is activated.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]

PRESET = preset(config.get("preset", "quick"))
ROOT = os.path.relpath(root())
HERE = f"{ROOT}/{PRESET.name}"
SEED = HERE + "/{task}/seed-{seed}"
MEMORY = 3_500 if PRESET.name == "paper" else 900  # megabytes that a job over all seeds may take up
TASKS = PRESET.available()
CODE_TASKS = [task for task in TASKS if task.startswith("code")]
NOTEBOOKS = {  # and the tasks whose results each one shows, the main one first
    "dyck_depth": [task for task in TASKS if task.startswith("dyck")],
    "svd_vs_clustering": ["dyck"],
    "code_completion": CODE_TASKS,
    "scorecard": ["dyck", *CODE_TASKS],
}
PAGES = [f"book/{name}" for name in ("index.md", "running.md", "structure.md", "references.md", "references.bib")]
STATIC = glob_wildcards("book/_static/{name}").name

# A change of one of these files makes what was computed with them out of date; a change of configuration does so through `params`.
TRAINING_CODE = {
    "dyck": expand("lib/{module}.py", module=["dyck/language", "dyck/splits", "split", "transformer", "training"]),
    "code": expand("lib/{module}.py", module=[
        "code/languages", "code/sources", "code/corpora", "code/splits", "split", "transformer", "training",
    ]),
}
MEASURING_CODE = expand("lib/{module}.py", module=["proxies", "measures", "faithfulness"])
NOTEBOOK_CODE = expand("lib/{module}.py", module=[
    "intervals", "runs", "claims", "mechanism", "code_analysis", "figures", "dyck_figures", "code_figures", "explorers",
    "code/ngram",
])


wildcard_constraints:
    task="|".join(TASKS),
    seed=r"\d+",


def configuration(*parts):
    """The parts of a task's configuration that a rule depends on, as text."""
    return lambda wildcards: json.dumps([asdict(getattr(PRESET.task(wildcards.task), part)) for part in parts])


def seed_files(name):
    """A file of every seed of the task."""
    return lambda wildcards: [f"{HERE}/{wildcards.task}/seed-{seed}/{name}" for seed in range(PRESET.task(wildcards.task).seeds)]


rule book:
    input:
        notebooks=expand(HERE + "/notebooks/{notebook}.ipynb", notebook=NOTEBOOKS),
        pages=PAGES,
        static=expand("book/_static/{name}", name=STATIC),
        settings=["_config.yml", "_toc.yml"],
    output:
        HERE + "/book/_build/html/index.html",
    params:
        source=HERE + "/book",
    shell:
        "rm -rf {params.source:q} && mkdir -p {params.source:q}/_static"
        " && cp {input.notebooks:q} {input.pages:q} {input.settings:q} {params.source:q}"
        " && cp {input.static:q} {params.source:q}/_static"
        " && jupyter-book build -W --keep-going {params.source:q}"


rule notebook:
    # Several seeds at full size take up memory: `--resources mem_mb` keeps such jobs from running at the same time.
    input:
        notebook="notebooks/{notebook}.ipynb",
        results=lambda wildcards: expand(HERE + "/{task}/faithfulness.parquet", task=NOTEBOOKS[wildcards.notebook]),
        code=NOTEBOOK_CODE,
    output:
        HERE + "/notebooks/{notebook}.ipynb",
    params:
        seeds=lambda wildcards: PRESET.task(NOTEBOOKS[wildcards.notebook][0]).seeds,
    resources:
        mem_mb=MEMORY,
    shell:
        "papermill {input.notebook:q} {output:q} -p preset {PRESET.name:q} -p seeds {params.seeds:q}"


rule results:
    input:
        seed_files("sequences.parquet"),
    output:
        HERE + "/{task}/faithfulness.parquet",
    resources:
        mem_mb=MEMORY,
    shell:
        "python -m lib evaluate {wildcards.task:q} --preset {PRESET.name:q}"


rule measure:
    input:
        model=SEED + "/model.safetensors",
        snapshots=SEED + "/snapshots.safetensors",
        code=MEASURING_CODE,
    output:
        SEED + "/sequences.parquet",
        SEED + "/along_training.parquet",
    params:
        configuration=configuration("study"),
        humaneval_x=lambda wildcards: humaneval_folder() if wildcards.task in CODE_TASKS else "",
    resources:
        mem_mb=MEMORY // 2,
    threads: lambda wildcards: PRESET.task(wildcards.task).training.threads
    shell:
        "python -m lib evaluate {wildcards.task:q} --preset {PRESET.name:q} --seed {wildcards.seed:q}"


rule corpus:  # once, before the seeds of a task would all build it at the same time
    input:
        expand("lib/code/{module}.py", module=["languages", "sources", "corpora"]),
    output:
        HERE + "/{task}/corpus.txt",
    params:
        configuration=configuration("data"),
    shell:
        "python -m lib corpus {wildcards.task:q} --preset {PRESET.name:q} > {output:q}"


rule train:
    input:
        code=lambda wildcards: TRAINING_CODE[wildcards.task.split("-")[0]],
        corpus=lambda wildcards: f"{HERE}/{wildcards.task}/corpus.txt" if wildcards.task in CODE_TASKS else [],
    output:
        SEED + "/model.safetensors",
        SEED + "/snapshots.safetensors",
        SEED + "/config.json",
        SEED + "/training.csv",
    params:
        configuration=configuration("data", "model", "training"),
    threads: lambda wildcards: PRESET.task(wildcards.task).training.threads
    shell:
        "python -m lib train {wildcards.task:q} --preset {PRESET.name:q} --seed {wildcards.seed:q}"
