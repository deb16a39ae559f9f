# Hushbeat: every target explains itself with `make help`.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
RUN_ARGS ?=
SPREAD ?= -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-all check bench bench-crypto keys-rotate lock train translations pictures clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.runtime: requirements.txt deploy/prepare
	@deploy/prepare runtime

$(VENV)/.tests: requirements-dev.txt $(VENV)/.runtime
	@deploy/prepare tests

setup: $(VENV)/.runtime ## Make the virtual environment with the pinned dependencies

run: setup ## Start both roles and the workers (Ctrl-C stops everything); by TLS on the network: make run LAN=1 [or its address]
	@exec $(BIN)/python -m deploy.local.run $(if $(LAN),--lan $(if $(filter-out 1,$(LAN)),"$(LAN)")) $(RUN_ARGS)

keys-rotate: setup ## Replace the key holder's Paillier key of `make run`, also while it runs
	@exec $(BIN)/python -m app.keyholder.keys rotate

demo: setup ## Show the whole way of a recording in a temporary folder: make demo [RECORDINGS=folder]
	@exec $(BIN)/python -m deploy.demo $(if $(RECORDINGS),--recordings "$(RECORDINGS)")

check: $(VENV)/.tests ## Style, types and import rules
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

.venv-peers/.peers: benchmarks/peers/requirements.txt deploy/prepare
	@deploy/prepare peers

test: check .venv-peers/.peers ## Everything that must pass: unit, property, protocol, processes, databases, browser
	@$(BIN)/python -m pytest -m "not slow" $(SPREAD)

test-all: check .venv-peers/.peers ## The same with the long seeds and the exhaustive comparisons
	@$(BIN)/python -m pytest $(SPREAD)

.venv-training/.training: models/requirements.txt models/torch.txt
	@deploy/prepare training

bench: setup .venv-peers/.peers ## Measure the whole pipeline and the cryptography; tables and JSON in docs/benchmarks/
	@$(BIN)/python -m benchmarks.pipeline
	@$(BIN)/python -m benchmarks.crypto

bench-crypto: setup .venv-peers/.peers ## Measure the cryptography alone, beside phe and TNO's comparison; the last line is JSON
	@$(BIN)/python -m benchmarks.crypto

train: .venv-training/.training ## Train, evaluate and export the models again: make train [DATA=folder]
	@.venv-training/bin/python -m models.train --root "$(or $(DATA),../shared/data)"
	@.venv-training/bin/python -m models.report --root "$(or $(DATA),../shared/data)"

translations: setup ## Extract the messages, update the catalogues and compile them
	@messages=$$(mktemp) && trap 'rm -f "$$messages"' EXIT && \
		$(BIN)/pybabel -q extract -F babel.cfg --no-location --sort-output -o "$$messages" . && \
		$(BIN)/pybabel -q update -i "$$messages" -d app/translations --width=100 \
			--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	@$(BIN)/pybabel -q compile -d app/translations

pictures: $(VENV)/.tests ## Take the pictures in docs/pictures again
	@$(BIN)/python -m tests.browser.take_pictures

lock: setup ## Compile requirements*.in into requirements*.txt with hashes
	@$(BIN)/python -m pip install -q pip-tools
	@cd $(CURDIR) && for f in requirements requirements-dev models/requirements benchmarks/peers/requirements; do \
		CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile -q --generate-hashes --allow-unsafe --strip-extras \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options -o $$f.txt $$f.in; done

clean: ## Remove what the targets made here, except the data in var/
	rm -rf $(VENV) .venv-training .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis test-artifacts
