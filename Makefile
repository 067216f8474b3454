# `make help` lists the targets. The first one that needs it makes .venv; nothing else is installed anywhere.

VENV     := .venv
PYTHON   ?= python3
BIN      := $(VENV)/bin
READY    := $(VENV)/.ready
RESNET18 := $(BIN)/resnet18

# Given on the command line, as in SCALE=small; variables of the environment are not read.
SCALE     = smoke
SEEDS     =
CASE      =
STUDY     = smoke
DEVICE    =
DATA      =
RESULTS   =
JOBS      = 1
BUDGET    =
ROUNDS    =
ENGINE    = local
RESOURCES =
BASE      =
LIMIT     =
TORCH     = cuda

# PyTorch's own index of wheels without CUDA, and the oldest versions that the tests pass with.
CPU_INDEX := https://download.pytorch.org/whl/cpu
OLDEST    := torch==2.11.0 torchvision==0.26.0

# A misspelt name would be ignored, and another thing run than was meant.
KNOWN   := SCALE SEEDS CASE STUDY DEVICE DATA RESULTS JOBS BUDGET ENGINE RESOURCES ROUNDS BASE LIMIT TORCH VENV PYTHON
GIVEN_PYTHON := $(if $(filter command,$(origin PYTHON)),$(PYTHON))
UNKNOWN := $(strip $(foreach one,$(filter-out $(KNOWN) MAKE% SHELL,$(.VARIABLES)),$(if $(filter command,$(origin $(one))),$(one))))
NOTHING :=
COMMA   := ,
listed   = $(subst $(NOTHING) $(NOTHING),$(COMMA) ,$(strip $(1)))
ifneq ($(UNKNOWN),)
$(error $(call listed,$(UNKNOWN)): unknown variable (allowed: $(call listed,$(KNOWN))))
endif

WHERE   = $(if $(DEVICE),--device $(DEVICE)) $(if $(DATA),--data "$(DATA)") $(if $(RESULTS),--results "$(RESULTS)") \
          $(if $(filter-out 1,$(JOBS)),--jobs $(JOBS)) $(if $(filter-out local,$(ENGINE)),--engine $(ENGINE)) \
          $(if $(RESOURCES),--resources $(RESOURCES)) $(if $(BUDGET),--budget $(BUDGET))
OPTIONS = --scale $(SCALE) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(CASE),--case "$(CASE)") $(WHERE)
# Any of these asks for other runs than those of the study `smoke`.
CHOSEN  = $(foreach one,SCALE SEEDS CASE DATA BUDGET,$(filter command,$(origin $(one))))
CLUSTER := $(addprefix $(VENV)/.,$(filter ray slurm,$(ENGINE)))
TRAINING := accelerator augment batched checkpoints device equivalence fast_network forecast loop model resume \
            schedules
BENCHMARKS := $(basename $(notdir $(wildcard benchmarks/*.toml)))
STUDIES    := $(basename $(notdir $(wildcard benchmarks/studies/*.toml)))

# What a command that is stopped says is to be typed again.
bench $(addprefix bench-,$(BENCHMARKS)) bench-recipe study regress baseline: export RESNET18_TYPED = make $(MAKECMDGOALS) $(MAKEOVERRIDES)

.PHONY: help bench $(addprefix bench-,$(BENCHMARKS)) bench-recipe study report evidence test check format micro lock \
        regress baseline speed verify-gpu soak verdict-errors test-engines test-slurm test-browser test-older test-oldest \
        clean
.DEFAULT_GOAL := help

help:
	@awk -F ':.* ## ' '/^[a-z-]+:.* ## / { printf "  make %-14s%s\n", $$1, $$2 } \
	  /^bench:/ { printf "  make %-14s%s\n", "bench-NAME", "one table: $(BENCHMARKS)" }' $(firstword $(MAKEFILE_LIST))
	@printf '\n%s\n' "variables, as in: make bench SCALE=small SEEDS=5"
	@printf '  %-25s%s\n' \
	  "SCALE=smoke|small|paper" "size; small and paper need CIFAR-10: .venv/bin/resnet18 data fetch" \
	  "SEEDS=n" "seeds of each case; default: set by SCALE" \
	  "CASE='CPU, tuned'" "only this case, named as in: .venv/bin/resnet18 plan" \
	  "STUDY=name" "what make study runs: $(call listed,$(STUDIES)), or a TOML file; default: smoke" \
	  "DEVICE=cpu|cuda|mps|xpu" "device of cases that name none; default: an accelerator if there is one" \
	  "DATA=NAME" "cifar10, fashion-mnist-mini or imagefolder:PATH; default: set by SCALE" \
	  "RESULTS=dir" "folder of records and report; default: results/local" \
	  "JOBS=n" "runs at a time; default: 1" \
	  "BUDGET=90s|30m|2h" "only the runs that test the most claims in this time" \
	  "ENGINE=local|ray|slurm" "where runs are executed: this machine, a Ray cluster or Slurm" \
	  "RESOURCES=cpus=n,gpus=n" "CPUs and GPUs per run on a cluster" \
	  "TORCH=cpu" "install torch without CUDA: about 2 GB instead of 6"
	@printf '\n%s\n' "for those who change the suite:"
	@awk -F ':.* ### ' '/^[a-z-]+:.* ### / { printf "  make %-14s%s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

bench: $(READY) $(CLUSTER) ## every table, then the report (smoke scale: a minute, offline)
	@$(strip $(RESNET18) $(if $(strip $(CHOSEN)),run $(OPTIONS),study smoke $(WHERE)))

$(addprefix bench-,$(BENCHMARKS)): bench-%: $(READY) $(CLUSTER)
	@$(RESNET18) run $* $(OPTIONS)

bench-recipe: $(READY) $(CLUSTER) ## from the lab report's configuration to a recipe for about 95 %
	@$(RESNET18) run benchmarks/beyond/recipe.toml $(OPTIONS)

study: $(READY) $(CLUSTER)  ## the runs that a study names, part by part (STUDY=name)
	@$(strip $(RESNET18) study "$(STUDY)" $(WHERE))

report: $(READY)  ## write the report from the recorded runs
	@$(RESNET18) report $(if $(RESULTS),--results "$(RESULTS)")

evidence: $(READY)  ### write the report in results/ from its records
	@$(RESNET18) report --study lab-report --results results

test: $(READY)  ## the tests
	@$(BIN)/python -m pytest -n 2

test-older: $(READY)  ### the training tests as on a CPU with AVX2 only and no C compiler
	@ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 RESNET18_NATIVE=off \
	  $(BIN)/python -m pytest -n 2 $(TRAINING:%=tests/test_%.py)

check: $(READY)  ### lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)  ### format, and fix what ruff can fix
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

soak: $(READY)  ### the tests of crashes and hostile input at their full counts (some 40 minutes)
	@$(BIN)/python -m pytest -n 2 --soak -rP tests/test_crash.py tests/test_disk.py tests/test_hostile_input.py tests/test_mutations.py tests/test_equivalence.py

micro: $(READY)  ### time single steps of the suite (pytest-benchmark)
	@$(BIN)/python -m pytest benchmarks/micro --benchmark-only --benchmark-columns=min,median,max,stddev,rounds

lock: ### write the newest version of each dependency to constraints.txt
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --upgrade pip
	.venv-lock/bin/python -m pip install --quiet -e ".[ray,slurm]" --group test --group check
	(echo "# Pins of every version that the Makefile installs. Made by: make lock"; \
	 .venv-lock/bin/python -m pip freeze --all --exclude-editable) > constraints.txt
	rm -rf .venv-lock

speed: $(READY)  ### compare the fast path with two training loops (20 quiet minutes; ROUNDS=n)
	@$(BIN)/python benchmarks/suite/speed $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(RESULTS),--to "$(RESULTS)")

verdict-errors: $(READY)  ### simulate how often verdicts err (some minutes; RESULTS=results/verdicts)
	@$(BIN)/python benchmarks/suite/verdict_errors.py $(if $(RESULTS),--to "$(RESULTS)")

# With PYTHON= given, that interpreter and its torch, and nothing is installed.
verify-gpu: $(if $(GIVEN_PYTHON),,$(READY))  ### run the checks that need a GPU, for at most LIMIT= seconds
	@$(strip $(or $(GIVEN_PYTHON),$(BIN)/python) benchmarks/suite/verify_gpu.py $(if $(LIMIT),--limit $(LIMIT)) $(if $(DATA),--data "$(DATA)") \
	  $(if $(RESULTS),--results "$(RESULTS)"))

regress: $(READY)  ### compare this code with the commit before: results, times, memory (BASE=commit)
	@$(BIN)/python benchmarks/suite/regress.py $(if $(DATA),--data "$(DATA)") $(if $(BASE),--base "$(BASE)") $(if $(SEEDS),--seeds $(SEEDS))

baseline: $(READY)  ### make this commit's runs the baseline of this machine (results/baseline)
	@$(BIN)/python benchmarks/suite/regress.py --keep $(if $(DATA),--data "$(DATA)") $(if $(BASE),--base "$(BASE)") $(if $(SEEDS),--seeds $(SEEDS))

test-engines: $(VENV)/.ray  ### tests with a real Ray cluster of three nodes on this machine
	@$(BIN)/python -m pytest tests/engines --soak --durations=5

test-slurm: $(VENV)/.slurm  ### tests with a real Slurm of two nodes on this machine (Linux with apt)
	@$(BIN)/python -m pytest tests/slurm --durations=5

test-browser: $(READY)  ### tests of the report's page in Chromium; skipped if it is not installed
	@$(BIN)/python -m pytest tests/browser

test-oldest:  ### the tests with the oldest torch that is supported (6 GB in .venv-oldest)
	$(PYTHON) -m venv .venv-oldest
	grep -Ev '^(torch|torchvision|triton|setuptools|nvidia-[^=]+|cuda-[^=]+)==' constraints.txt > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "$$(grep '^pip==' constraints.txt)"
	.venv-oldest/bin/python -m pip install --quiet -c .venv-oldest/constraints.txt $(OLDEST) -e . --group test
	.venv-oldest/bin/python -m pytest -n 2

clean:  ### remove what make installed and cached; records and reports stay
	rm -rf $(VENV) .venv-lock .venv-oldest .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find resnet18 tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@echo "installing into $(VENV): about $(if $(filter cpu,$(TORCH)),2,6) GB, a minute or more"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "$$(grep '^pip==' constraints.txt)"
	$(if $(filter cpu,$(TORCH)),$(BIN)/python -m pip install --quiet -c constraints.txt --index-url $(CPU_INDEX) torch torchvision)
	$(BIN)/python -m pip install --quiet -c constraints.txt --build-constraint constraints.txt -e . --group test --group check
	@touch $@

# What an engine other than this machine's own needs, installed when it is first asked for.
$(VENV)/.ray $(VENV)/.slurm: $(VENV)/.%: $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --build-constraint constraints.txt -e ".[$*]"
	@touch $@
