# Inventory. `make` alone lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

VENV := .venv
PYTHON := $(VENV)/bin/python
BIN := $(VENV)/bin
SYSTEM_PYTHON ?= python3
INSTALLED := $(VENV)/.installed

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##—— Environment ————————————————————————————————————————————————————————————————————————————————————

.PHONY: venv
venv: $(INSTALLED) ## Make the virtual environment from the locked dependencies

$(INSTALLED): requirements.lock pyproject.toml
	@$(SYSTEM_PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed: set SYSTEM_PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(PYTHON) || $(SYSTEM_PYTHON) -m venv $(VENV) \
	  || { echo "the venv module is missing: install it (Debian: apt-get install python3-venv)"; exit 1; }
	@echo "installing the locked dependencies into $(VENV)"
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

##—— The local stack ——————————————————————————————————————————————————————————————————————————————

.PHONY: up
up: venv ## Start the whole stack, or what of it does not run, and wait until it is ready
	@$(PYTHON) -m stack up

.PHONY: infra
infra: venv ## Start what Inventory stands on, without its own services
	@$(PYTHON) -m stack up --only infra

.PHONY: status
status: venv ## Show what runs
	@$(PYTHON) -m stack status

.PHONY: logs
logs: venv ## Follow the logs (NAME=command: of one process)
	@$(PYTHON) -m stack logs $(NAME)

.PHONY: restart
restart: venv ## Restart Inventory's services, to take up changed code (NAME=command: one process)
	@$(PYTHON) -m stack restart $(or $(NAME),command projector projector-standby relay pipeline query)

.PHONY: down
down: venv ## Stop the stack; its data stays
	@$(PYTHON) -m stack down

.PHONY: clean
clean: venv ## Stop the stack and remove its data
	@$(PYTHON) -m stack clean

.PHONY: demo
demo: up ## Run the main job and prove it (ORDERS=file of order lines, DAYS=number of days)
	@$(PYTHON) -m demo $(if $(ORDERS),--orders $(ORDERS)) $(if $(DAYS),--days $(DAYS))

.PHONY: token
token: venv ## Print a token for the running stack (ROLE=clerk LOCATIONS=W1 SUBJECT=alice STEP_UP=1)
	@$(PYTHON) -m stack token "$(or $(ROLE),viewer)" --locations "$(LOCATIONS)" --subject "$(SUBJECT)" \
	  $(if $(STEP_UP),--step-up)

.PHONY: certificate
certificate: venv ## Make a certificate for a caller of the stack (NAME=order-service), and print its file
	@$(PYTHON) -m stack certificate "$(NAME)"

.PHONY: rotate
rotate: venv ## Renew all certificates of the stack now
	@$(PYTHON) -m stack rotate

.PHONY: reconcile
reconcile: venv ## Prove that ledger, rows and read model of the running stack tell the same
	@$(PYTHON) -m stack reconcile

.PHONY: rebuild
rebuild: venv ## Rebuild the read model of the running stack beside the live one, and switch
	@$(PYTHON) -m stack rebuild

.PHONY: archive
archive: venv ## Put an old month of the ledger into a Parquet file and drop it (MONTH=2023-01 FOLDER=DIR)
	@$(PYTHON) -m stack archive "$(MONTH)" "$(FOLDER)"

.PHONY: archive-audit
archive-audit: venv ## Put an old month of the audit log into a Parquet file and drop it (MONTH=2023-01 FOLDER=DIR)
	@$(PYTHON) -m stack archive --audit "$(MONTH)" "$(FOLDER)"

##—— Checks ——————————————————————————————————————————————————————————————————————————————————————

.PHONY: test
test: venv ## Run all tests, in TEST_PROCESSES (2) at once; those of the stack start one of their own
	@$(PYTHON) -m pytest -m "not mesh" -n $(or $(TEST_PROCESSES),2) --dist loadfile --no-loadscope-reorder

.PHONY: test-busy
test-busy: venv ## Run all tests while loops take every processor too: finds what holds on a quiet machine alone
	@for one in $$(seq $$(nproc)); do $(PYTHON) -c 'while True: pass' & done; \
	  trap 'kill $$(jobs -p)' EXIT; $(MAKE) --no-print-directory test

.PHONY: test-unit
test-unit: venv ## Run the tests that need no stack
	@$(PYTHON) -m pytest -m "not stack and not mesh"

.PHONY: test-mesh
test-mesh: venv ## Run manifests and services in a real mesh on this machine (needs root and Go; INVENTORY_MESH_SKIP=1 passes it over)
	@[ "$${INVENTORY_MESH_SKIP:-}" = 1 ] || $(PYTHON) -m tests.mesh.builds
	@$(PYTHON) -m pytest -m mesh tests/mesh

.PHONY: lint
lint: venv ## Check style, types, import rules, contracts, generated code, migrations
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/buf lint
	@$(MAKE) --no-print-directory check-gen breaking
	$(BIN)/squawk command_svc/migrations/*.sql

.PHONY: fmt
fmt: venv ## Format the code
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format

.PHONY: bench
bench: bench-command bench-query bench-read-model bench-rebuild ## Measure, in tables with ratios; about a quarter of an hour

.PHONY: bench-command
bench-command: venv ## Measure the command side (QUICK=1: one short round)
	@$(PYTHON) -m bench.command $(if $(QUICK),--quick)

.PHONY: bench-query
bench-query: venv ## Measure the query side and the way to the view (QUICK=1: one short round)
	@$(PYTHON) -m bench.query $(if $(QUICK),--quick)

.PHONY: bench-read-model
bench-read-model: venv ## Measure the read model's reads against the library's own
	@$(PYTHON) -m bench.read_model

.PHONY: bench-hops
bench-hops: venv ## Measure what TLS, a sidecar and the edge cost a call
	@$(PYTHON) -m bench.hops

.PHONY: bench-overload
bench-overload: venv ## Measure what ten times too many commands do to those accepted (QUICK=1: short bursts)
	@$(PYTHON) -m bench.overload $(if $(QUICK),--quick)

.PHONY: bench-rebuild
bench-rebuild: venv ## Measure a rebuild of a million levels (QUICK=1: a tenth)
	@$(PYTHON) -m bench.rebuild $(if $(QUICK),--quick)

##—— Generated files —————————————————————————————————————————————————————————————————————————————

.PHONY: gen
gen: venv ## Generate the code of the contracts into gen/, and what follows from their table of roles
	@$(PYTHON) tools/generate.py
	@$(PYTHON) tools/roles.py

.PHONY: check-gen
check-gen: venv ## Check that gen/ and what else is generated is what the contracts generate
	@$(PYTHON) tools/generate.py --check
	@$(PYTHON) tools/roles.py --check

.PHONY: breaking
breaking: venv ## Check that the contracts still keep what the last release promised
	@$(BIN)/buf breaking proto --against proto/released.binpb

.PHONY: release-contracts
release-contracts: breaking ## Take the present contracts as those that every later one must keep
	@$(BIN)/buf build proto --exclude-source-info --output proto/released.binpb

.PHONY: lock
lock: venv ## Resolve the dependencies anew into requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes \
	  --all-extras --no-annotate --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --generate-hashes \
	  --extra archive --extra migrations --constraint requirements.lock --no-annotate \
	  --custom-compile-command "make lock" --output-file deploy/images/requirements.lock pyproject.toml

.PHONY: lock-downloads
lock-downloads: venv ## Fetch the JVM jars anew and pin their checksums
	@$(PYTHON) -m stack lock-downloads
