.DEFAULT_GOAL := help
.PHONY: help setup run test test-pure test-pythons lint bench live-bench dialects mail docs site labs notebooks report clean

PYTHON := .venv/bin/python
RESULTS ?= results
# Several runs at once change no figure by more than results/reference/mail/lanes.csv says: 6 for each processor.
LANES ?= $(shell lanes=$$((6 * $$(nproc))); echo $$((lanes < 32 ? lanes : 32)))

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: distribution packages (sudo), and Python packages into .venv
	@scripts/setup.sh

run: setup ## run the cable-pull experiment (root or sudo); the plots are in results/cable-pull
	@scripts/as_root.py .venv/bin/carplab run cable-pull

test: lint ## lint, then every test, with those that need root and Mininet (root or sudo)
	@scripts/setup.sh --for-tests
	@scripts/as_root.py $(PYTHON) -m pytest

test-pure: setup ## the tests that need neither root nor Mininet
	@$(PYTHON) -m pytest -m "not root and not mininet"

test-pythons: setup ## the same tests on each Python from 3.10 to 3.13 that is found
	@scripts/test-pythons.sh

lint: setup ## ruff, mypy, and the arrows between the layers
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy
	@.venv/bin/lint-imports --no-logo

bench: setup ## measure carpd: its start, its memory, how it hands over, also to and from ucarp
	@scripts/as_root.py $(PYTHON) -m tests.daemon.bench

live-bench: setup ## measure what viewers of the live view cost the network: 0 and 20 of them
	@scripts/as_root.py $(PYTHON) -m tests.live.bench

dialects: setup ## 10 cable pulls and 10 crashes in each dialect, and their comparison (20 min)
	@scripts/as_root.py scripts/dialects.sh

# Where some runs have failed twice (exit code 3), the verdicts say so.
mail: setup ## measure every claim of the mail, 10 times each (hours; goes on where it was stopped)
	@scripts/as_root.py .venv/bin/carplab mail measure --lanes $(LANES) --out $(RESULTS)/mail || [ $$? = 3 ]
	@scripts/as_root.py .venv/bin/carplab mail lanes --lanes $(LANES) --out $(RESULTS)/mail
	@.venv/bin/carplab mail verdicts --out $(RESULTS)/mail
	@.venv/bin/carplab mail publish --out $(RESULTS)/mail
	@.venv/bin/carplab mail document

docs: setup ## build docs/the-mail.md and the README's picture from results/reference
	@.venv/bin/carplab mail document
	@$(PYTHON) -m docs.building.picture

# All of it each time (-E -a): a page that is not read again would keep its warnings to itself. tests/docs builds it, too.
site: setup ## build the documentation into build/site (open build/site/index.html)
	@$(PYTHON) -m sphinx -E -a -W --keep-going -n -q -j auto -d build/doctrees docs build/site
	@echo "build/site/index.html"

labs: setup ## whether each lab's start fails its check, and its solution passes (root or sudo)
	@scripts/as_root.py .venv/bin/carplab lab verify

notebooks: setup ## execute the notebooks of the course, and check their numbers
	@$(PYTHON) -m pytest tests/labs/test_notebooks.py

report: setup ## render the report of every run in results/, HTML and PDF (RESULTS=FOLDER for another)
	@.venv/bin/carplab report $(RESULTS)

clean: ## remove what a killed run left on the machine, and the caches here (results and .venv stay)
	@[ ! -x $(PYTHON) ] || scripts/as_root.py .venv/bin/carplab clean
	@rm -rf build *.egg-info .tox .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
