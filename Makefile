# `make book` and `make test` need nothing but Python 3.11 or newer; both set up .venv first.

PYTHON ?= python3
PRESET ?= quick
export PATH := $(CURDIR)/.venv/bin:$(PATH)
SNAKEMAKE = snakemake --cores all --resources mem_mb=4000 --rerun-incomplete --nolock --config

.PHONY: help book paper test publish environment constraints clean

help:  ## say what each target does
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: .venv/installed  ## from nothing to artifacts/quick/book/_build/html/index.html (another size: make book PRESET=smoke)
	$(SNAKEMAKE) preset=$(PRESET)
	@echo "the book: artifacts/$(PRESET)/book/_build/html/index.html"

paper: .venv/installed  ## the same at full size, which takes hours; an interrupted run goes on where it was
	$(SNAKEMAKE) preset=paper

test: .venv/installed-test  ## the whole test suite (tests that need a browser are skipped where Chromium is missing)
	python -m pytest -n 2 --dist loadfile

publish:  ## put the executed notebooks of PRESET into book/, for the published book; commit them afterwards
	cp artifacts/$(PRESET)/notebooks/*.ipynb book/
	cp artifacts/$(PRESET)/figures/*.svg book/_static/

environment: .venv/installed-test  ## only set up .venv, with what the tests need

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; choose another one with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	python -m pip install -q -c constraints.txt -e .
	@touch $@

.venv/installed-test: .venv/installed
	python -m pip install -q -c constraints.txt -e '.[test]'
	@touch $@

constraints: .venv/installed-test  ## write down the versions in .venv, after a change of pins in pyproject.toml
	{ sed -n '/^#/p' constraints.txt; python -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.part
	mv constraints.part constraints.txt

clean:  ## remove the artifacts of PRESET; the environment and other presets stay
	rm -rf artifacts/$(PRESET) book/_build
