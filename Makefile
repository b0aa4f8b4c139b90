# Two commands do all the set-up: `make demo` and `make test`. Both make .venv with pinned packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

COMPILED := build/compiled

.PHONY: compiled test-compiled demo run test judges oracles test-train fuzz lint format docs golden bench kafka clean help

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(STAMP) ## stream the fixtures through a real Kafka protocol and show what came out
	$(BIN)/wardstream demo

run: $(STAMP) ## keep the engine and the console up on the embedded broker
	$(BIN)/wardstream run --embedded

test: $(STAMP) ## every test that needs no training packages
	$(BIN)/python -m pytest

$(COMPILED)/.built: $(STAMP) setup.py pyproject.toml $(shell find engine -name '*.py' -o -name '*.csv')
	rm -rf build
	WARDSTREAM_COMPILE=1 PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(COMPILED) .
	@ls $(COMPILED)/engine/mapping/run.*.so >/dev/null
	@touch $@

compiled: $(COMPILED)/.built ## the package with its hot path as native code, in build/compiled; needs a C compiler, takes minutes

test-compiled: $(COMPILED)/.built ## native code and Python say the same of every message
	$(BIN)/python -m pytest tests/compiled

judges: $(STAMP) ## hold what convert emits against independent FHIR validators; needs Node.js 20
	$(BIN)/python tests/judges/judging.py

oracles: $(STAMP) ## how far the Bundles agree with other converters, by field; needs the development corpora
	$(BIN)/python tests/oracles/agreement.py

test-train: $(STAMP) ## the tests of training and export; installs torch (several gigabytes)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,train]'
	$(BIN)/python -m pytest tests/train

FUZZ_SECONDS ?= 6
FUZZ_SEED ?= 1
fuzz: $(STAMP) ## a short search for bytes that break the readers; FUZZ_SECONDS=600 FUZZ_SEED=0 for a long one that goes new ways
	$(BIN)/python tests/fuzz/run.py all --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

lint: $(STAMP) ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## let ruff lay the code out
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP) ## write the tables in docs/ anew, from the code and the mapping tables
	$(BIN)/python tools/write_settings_table.py
	$(BIN)/python tools/write_mapping_doc.py

golden: $(STAMP) ## write what comes out for each fixture anew; read the difference before you commit it
	$(BIN)/python tools/write_golden.py

bench: $(STAMP) ## the measured table, of the compiled package too where there is a C compiler
	-$(MAKE) compiled
	$(BIN)/wardstream bench

kafka: $(STAMP) ## a durable local Apache Kafka from its jars (needs Java and Maven)
	$(BIN)/python -m adapters.kafka.local

clean:
	rm -rf $(VENV) .cache out build *.egg-info
