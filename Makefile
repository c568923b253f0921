# Shoal's one gate and its chores; `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
DISTRIBUTIONS := protos $(wildcard services/*) $(wildcard clients/python/*)
SOURCES := $(wildcard services/*/shoal_*) $(wildcard clients/python/*/shoal_*)
KERNELS := services/engine/hatch_build.py $(wildcard services/engine/shoal_engine/winograd/*.[ch])
PROTOS := $(shell find protos/shoal -name '*.proto')

VIDEO ?=
MODEL ?=
COUNT ?= 100
SEED ?= 0

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: setup
setup: .venv/.ready ## Build .venv from nothing: tools, stubs, every distribution editable

.venv/.ready: constraints.txt $(wildcard services/*/pyproject.toml) $(wildcard clients/python/*/pyproject.toml) protos/pyproject.toml $(KERNELS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt
	$(MAKE) proto
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt $(addprefix -e ./,$(DISTRIBUTIONS))
	@touch $@

.PHONY: proto
proto: ## Generate the gRPC stubs
	$(BIN)/python protos/generate.py

.PHONY: format
format: ## Rewrite the sources in the house format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lint
lint: setup ## Format, lint, types, protos and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(SOURCES)
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/api.binpb
	$(BIN)/lint-imports

.PHONY: test
test: setup ## Every test that is neither slow nor heavy
	$(BIN)/pytest -q -m "not slow"

.PHONY: check
check: lint test ## Everything that CI runs

.PHONY: check-all
check-all: lint setup-triton ## Also what is slow or needs environments of its own
	$(BIN)/pytest -q

.PHONY: setup-triton
setup-triton: .venv-triton/.ready ## Triton for the CPU and what it runs, in an environment of its own

.venv-triton/.ready: services/core/pyproject.toml services/common/pyproject.toml services/engine/pyproject.toml
	$(PYTHON) -m venv .venv-triton
	.venv-triton/bin/pip install --quiet --disable-pip-version-check nvidia-pytriton==0.7.0 "numpy<2" \
		onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 hatchling==1.33.0 editables==0.6
	.venv-triton/bin/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
		-e services/core -e services/common -e services/engine
	@touch $@

.PHONY: bench
bench: setup ## Throughput and memory against the bare ONNX Runtime forward pass
	$(BIN)/python -m tests.benchmarks.throughput

.PHONY: setup-sleap
setup-sleap: .venv-sleap/.ready ## sleap-nn, to be compared with, in an environment of its own (5.5 GB)

.venv-sleap/.ready:
	$(PYTHON) -m venv .venv-sleap
	.venv-sleap/bin/pip install --quiet --disable-pip-version-check sleap-nn==0.3.5 \
		torch==2.14.1 torchvision==0.29.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0
	@touch $@

.PHONY: bench-sleap
bench-sleap: setup setup-sleap ## Speed against sleap-nn's, same weights, frames and cores (half an hour)
	$(BIN)/python -m tests.benchmarks.against_sleap

.PHONY: bench-start
bench-start: setup ## Time to print the help and to the first inferred frame
	$(BIN)/python -m tests.benchmarks.start_up

.PHONY: faults
faults: setup ## COUNT=… random faults (kill, pause, hang) in running ensembles, and what came of them
	$(BIN)/python -m tests.faults --count $(COUNT) --seed $(SEED)

.PHONY: concurrency
concurrency: setup ## 16 live sessions and two jobs at once against each of them alone, bit for bit
	$(BIN)/python -m tests.concurrency

.PHONY: bench-live
bench-live: setup ## Latency of live frames beside two batch jobs, with and without their priority
	$(BIN)/python -m tests.benchmarks.live_latency

.PHONY: bench-transport
bench-transport: setup ## From a frame in the ring to the result in the client, minus the forward pass
	$(BIN)/python -m tests.benchmarks.transport

.PHONY: bench-large
bench-large: setup ## Throughput and memory by frame size, animals and batch, networks of the paper's size
	$(BIN)/python -m tests.benchmarks.large_frames

.PHONY: accuracy
accuracy: setup ## How far imported models are from TensorFlow, SLEAP's predictions and torch
	$(BIN)/python -m tests.benchmarks.accuracy

.PHONY: identities
identities: setup ## Identities of the bottom-up ID model on a whole recording, against SLEAP's
	$(BIN)/python -m tests.benchmarks.identities

.PHONY: bench-training
bench-training: setup ## Models after ten minutes of training (hours; goes on where it was left)
	$(BIN)/python -m tests.benchmarks.training -o training-bench
	$(BIN)/python -m tests.benchmarks.training_identities -o training-bench
	$(BIN)/python -m tests.benchmarks.training_openfield -o training-bench
	$(BIN)/python -m tests.benchmarks.training_resume -o training-bench/resume

.PHONY: check-backbones
check-backbones: setup ## Every encoder of timm that is offered: train a step, export (own environment, 7 GB)
	$(PYTHON) -m venv .venv-backbones
	.venv-backbones/bin/pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables onnxruntime
	.venv-backbones/bin/pip install --quiet --disable-pip-version-check "torch===2.13.0" torchvision timm
	.venv-backbones/bin/pip install --quiet --disable-pip-version-check --no-build-isolation -c constraints.txt \
		-e services/core -e services/media -e "services/training[backbones]"
	.venv-backbones/bin/python -m tests.backbones

.PHONY: soak
soak: setup ## Memory of every process over a video of 100,000 frames (10 minutes)
	$(BIN)/python -m tests.benchmarks.soak

.PHONY: demo
demo: setup ## All of it on synthetic animals, without data; or track VIDEO=… with MODEL=… into demo/
ifeq ($(VIDEO)$(MODEL),)
	$(BIN)/shoal demo -o demo
else
	mkdir -p demo
	$(BIN)/shoal track $(VIDEO) -m $(MODEL) -o demo/tracked.slp --tracker window
	$(BIN)/shoal render $(VIDEO) demo/tracked.slp -o demo/tracked.mp4
endif

.PHONY: clean
clean: ## Remove what the targets above have made
	rm -rf .venv .venv-backbones .venv-sleap .venv-triton demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache protos/third_party
	find protos/shoal -name '*_pb2*.py*' -delete
