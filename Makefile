# Every command of the project. Needs Python 3.11 or 3.12, pip and make; `make setup` installs the rest into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
SCALE ?= laptop
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# Of the tests: one more than cores, as some wait for others, and at most four. In the order of their names, because
# else the files with the fewest tests come last, and those of the browser take minutes each.
PROCESSES = $$(cores=$$(nproc); echo $$((cores < 4 ? cores + 1 : 4)))
STORE = $$($(RUN) -c 'from orchestration.store import store; print(store())')

# glibc's allocator, set before a process starts: CPU training runs about five times faster (orchestration/launchers.py).
export MALLOC_MMAP_THRESHOLD_ := 67108864
export MALLOC_TRIM_THRESHOLD_ := 100000000000
export GLIBC_TUNABLES := glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1

.PHONY: help setup cluster demo run ui chat bench-chat bench-corpus gguf test arithmetics ablations seeds lint lineage why verify results pictures inbox follow retract promote rollback diff plan

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.ready: requirements.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo "Python 3.11 or 3.12 is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once; about two minutes) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(RUN) -m pip install -q -c constraints.txt -r requirements.txt || \
	  { echo "Packages could not be installed: check the network and the disk, then type the same command again."; exit 1; }
	@touch $@

setup: $(VENV)/.ready ## the environment

cluster: setup ## the packages for Ray and Kubernetes beside the others (docs/cluster.md)
	@$(RUN) -m pip install -q -c constraints.txt -r requirements-cluster.txt

demo: setup ## serve the Dagster UI and the chat, and make the model at SCALE (default laptop) behind them
	@$(RUN) -m orchestration.serve $(SCALE)

run: setup ## the whole graph at SCALE, no serving
	@$(RUN) -m orchestration.run $(SCALE)

ui: setup ## the Dagster UI alone: launch the jobs from the browser
	@$(RUN) -m orchestration.serve --ui

# The folder of SCALE's release: the current one, else the newest run's.
BUNDLE = $$(store="$(STORE)"; kept="$$store/releases/$(SCALE)/current/bundle"; \
  if [ -d "$$kept" ]; then echo "$$kept"; else echo "$$store/$(SCALE)/bundle"; fi)

chat: setup ## the chat alone
	@$(RUN) -m release.demo --bundle "$(BUNDLE)" --port "$${CRIA_CHAT_PORT:-7860}"

gguf: setup ## SCALE's release as the file cria-SCALE.gguf for llama.cpp and Ollama; ARGS="--help"
	@$(RUN) -m release.gguf_export --bundle "$(BUNDLE)" --out cria-$(SCALE).gguf $(ARGS)

bench-chat: setup ## speed of the chat with 1, 10 and 50 users, beside plain generate; MODEL=…: a folder, else SCALE's release
	@$(RUN) benchmarks/chat.py $(if $(MODEL),$(MODEL),"$(STORE)/$(SCALE)/bundle")

bench-corpus: setup ## speed and memory of the corpus steps, on documents made from the store's: docs/corpus.md; ARGS="--documents 10000"
	@$(RUN) benchmarks/corpus.py "$(STORE)" --write $(ARGS)

test: setup ## the tests
	@$(RUN) -m orchestration.fetch
	@$(RUN) -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

arithmetics: setup ## the tests and the graph at scale tiny as other processors would compute them; ARGS="--help": one, or a part
	@$(RUN) -m orchestration.fetch
	@$(RUN) -m benchmarks.arithmetics $(ARGS)

ablations: setup ## the paper's ablations as small trainings on SCALE's store, into docs/ablations.md; ARGS="--only attention"
	@$(RUN) -m benchmarks.ablations $(SCALE) $(ARGS)

seeds: setup ## SCALE's alignment half at further seeds, hours each, into docs/seeds.md; ARGS="--seeds 0,1"
	@$(RUN) -m benchmarks.seeds $(SCALE) $(ARGS)

lint: setup ## style and formatting
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

lineage: setup ## FILE=store/laptop/bundle/model.safetensors: the chain of records down to the sources
	@$(RUN) -m orchestration.lineage $(FILE)

why: setup ## FILE=store/laptop/base_model: what would make an artifact again, field by field
	@$(RUN) -m orchestration.why $(FILE)

verify: setup ## every file of the store against its record, read in full; FILE=…: of one artifact
	@$(RUN) -m orchestration.verify $(FILE)

results: setup ## the tables of README.md and docs/results.md of SCALE, from the records
	@store="$(STORE)" && $(RUN) -m release.results --store "$$store" --scale $(SCALE)

pictures: setup ## the pictures of README.md, docs/chat.png and docs/comparison.png, from SCALE's release; needs Chromium
	@$(RUN) -m release.screenshots --bundle "$(BUNDLE)"

inbox: setup ## make a snapshot of what was dropped into the inbox (as the sensor inbox_files does)
	@$(RUN) -m orchestration.inbox

follow: setup ## make a snapshot of what is new at the followed sources (as the schedule remote_sources does)
	@$(RUN) -m orchestration.follow

retract: setup ## ARGS='--id news:7 --reason "she asked"' (or --url, --text, --list): leave documents out; what learnt from them
	@$(RUN) -m orchestration.retract $(ARGS)

promote: setup ## make a finished bundle of SCALE the current release if it is no worse; RELEASE=…: that one, by hand
	@$(RUN) -m orchestration.promote $(SCALE) $(RELEASE)

rollback: setup ## go back to the release of SCALE before the current one
	@$(RUN) -m orchestration.promote $(SCALE) --rollback

diff: setup ## A=laptop B=70b: what differs between two scales
	@$(RUN) -m orchestration.scales $(A) $(B)

plan: setup ## what SCALE would take: memory, hours, cost, carbon; ARGS="--device A100 --devices 2048 --mfu 0.4"
	@$(RUN) -m orchestration.plans $(SCALE) $(ARGS)
