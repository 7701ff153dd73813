# Everything runs in .venv, which every target makes when it is missing or requirements.txt has changed.
SHELL := /bin/bash
UV := uv==0.13.9
BIN := .venv/bin
VALIDATION := include/validation/deepchecks_env
BASE_DATA ?=
LAKE ?= folder
ONCE ?=
# A path travels through the environment: the shell must not read its spaces and quotes.
export BASE_DATA HELD_OUT
# Without byte code on the disk each process compiles all of TensorFlow anew, which doubles the time of its start.
unexport PYTHONDONTWRITEBYTECODE
CHOICE := $(if $(BASE_DATA),--base-data="$$BASE_DATA") --lake $(LAKE) $(if $(DOCKER),--docker)
PHOTOS := $(if $(filter-out sample,$(BASE_DATA)),--photos="$$BASE_DATA")
UPLOAD_SEED ?= 1
DOCKER ?=
COMPILE := $(BIN)/uv pip compile -q --universal --no-header --python-version 3.11
STACK := $(BIN)/python -m stack.demo $(CHOICE)

.DEFAULT_GOAL := help
.PHONY: help setup demo up secrets test test-slow test-compose test-lake coverage check bench bench-data bench-gate fix requirements screenshots clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

setup: .venv/ready .venv-validation/ready  ## make .venv and .venv-validation with the pinned packages (every other command does this by itself)

# Deepchecks needs packages that do not work beside those of .venv. PyTorch's own index has its CPU build; where that
# index cannot be reached, torch comes from wherever pip is configured to look, and may be the large CUDA build.
.venv-validation/ready: $(VALIDATION)/requirements.txt | .venv/ready
	@echo "Installing Deepchecks into .venv-validation ..."
	@$(BIN)/python -m venv --clear .venv-validation
	@torch=$$(grep '^torch==' $<); \
	  UV_HTTP_RETRIES=1 $(BIN)/uv pip install -q -p .venv-validation --torch-backend=cpu $$torch 2>/dev/null \
	  || .venv-validation/bin/python -m pip install -q --disable-pip-version-check $$torch
	@$(BIN)/uv pip install -q -p .venv-validation -r $<
	@touch $@

.venv/ready: requirements.txt
	@python=; for name in python3 python3.12 python3.11 python; do \
	  if $$name -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or 3.12 is needed, and none was found on PATH"; exit 1; fi; \
	echo "Installing the pinned packages into .venv with $$($$python --version) ..."; \
	$$python -m venv --clear .venv && $(BIN)/python -m pip install -q --disable-pip-version-check $(UV) \
	  && $(BIN)/uv pip install -q -p .venv -r requirements.txt \
	  && $(BIN)/uv pip install -q -p .venv --no-deps --no-build-isolation -e .
	@touch $@

demo: .venv/ready .venv-validation/ready  ## run the whole loop in a local stack [BASE_DATA=sample|FOLDER] [LAKE=s3] [ONCE=1] [UPLOAD_SEED=1] [DOCKER=1]
	@$(STACK) --upload-seed $(UPLOAD_SEED) $(if $(ONCE),--once)

up: .venv/ready .venv-validation/ready  ## start the local stack and run nothing [BASE_DATA=...] [LAKE=s3]
	@$(STACK) --only-serve

secrets:  ## write the secrets of docker-compose.yaml into secrets/, once; needs Python alone
	@python3 -m stack.secret_files

test: .venv/ready .venv-validation/ready  ## unit, contract and DAG tests, and one functional test with real servers
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: .venv/ready .venv-validation/ready  ## what takes longer: kills, interrupts, the other lake
	@$(BIN)/python -m pytest -m "slow and not compose"

test-compose: .venv/ready  ## docker-compose.yaml on a real engine, with stand-ins for images of a registry (REGISTRY=1: with those)
	@docker info >/dev/null 2>&1 || { echo "No Docker engine answers: start one, or see docs/containers.md"; exit 1; }
	@$(BIN)/python -m pytest -m compose tests/compose

test-lake: .venv/ready  ## try whether your own server can be a lake: CAT_LAKE_URL=s3://BUCKET, which must be empty [CAT_S3_ENDPOINT_URL=...]
	@if [ -z "$(CAT_LAKE_URL)" ]; then echo "Name an empty lake: make test-lake CAT_LAKE_URL=s3://BUCKET"; exit 1; fi
	@$(BIN)/python -m pytest tests/lake/test_store_contract.py --lake-url "$(CAT_LAKE_URL)"

coverage: .venv/ready .venv-validation/ready  ## the tests without real servers, with the share of lines that they run
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not functional" --cov --cov-report=term

check: .venv/ready  ## ruff (lint and format), mypy, spelling, import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/codespell $$(git ls-files '*.py' '*.md' '*.j2') \
	  && { rules=$$($(BIN)/lint-imports --no-logo --no-cache) || { echo "$$rules"; exit 1; }; } \
	  && $(BIN)/python -m pytest -q tests/test_layers.py

bench: .venv/ready  ## compare the original recipe with ours; writes docs/benchmarks.md [BASE_DATA=FOLDER] [HELD_OUT=FOLDER]
	@$(BIN)/python -m bench.training $(PHOTOS) $(if $(HELD_OUT),--held-out="$$HELD_OUT")

bench-data: .venv/ready  ## measure what the data checks find; writes docs/data-checks.md [BASE_DATA=FOLDER]
	@$(BIN)/python -m bench.data_quality $(PHOTOS)

bench-gate: .venv/ready  ## measure how often the gate is right; writes docs/gate.md [BASE_DATA=FOLDER]
	@$(BIN)/python -m bench.gate $(PHOTOS)

fix: .venv/ready  ## let ruff mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

requirements: .venv/ready  ## compile every requirements*.in into its pinned .txt, for Python 3.11 and 3.12
	@$(COMPILE) requirements.in -o requirements.txt
	@for image in app mlflow server airflow; do \
	  $(COMPILE) docker/requirements-$$image.in -c requirements.txt -o docker/requirements-$$image.txt || exit 1; \
	done
	@$(COMPILE) --excludes $(VALIDATION)/excludes.txt $(VALIDATION)/requirements.in -o $(VALIDATION)/requirements.txt

screenshots: .venv/ready  ## take the pictures of the README from a running stack (needs Chromium)
	@$(BIN)/python -m stack.screenshots $(CHOICE)

clean:  ## remove local state: lakes, databases, caches, logs
	@rm -rf .local .pytest_cache .mypy_cache .ruff_cache
