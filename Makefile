# `make help` says what there is. Every target sets up what it needs.
SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PROGRAMS := cmd/proa cmd/proa-agent cmd/proa-init

.PHONY: help setup build demo test torture fuzz lint bench bench-updates site packages container clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what build, test and demo need (Debian packages, Go modules)
	@testdata/setup

build: ## Compile the three programs into bin/
	@echo "compiling into bin/: $(notdir $(PROGRAMS))"
	@testdata/compile bin $(PROGRAMS)

demo: setup build ## Run the main job: build, boot, update, flip, roll back
	go run ./demo

test: setup build ## Run every test, the fast ones first, then those that boot machines
	testdata/test

# TORTURE_SEED=n repeats a run: each prints its seed.
torture: setup build ## Hurt the real programs at full size: power cuts, kills, faults, liars (an hour or two)
	TORTURE_SIZE=full go test -count=1 -timeout 6h -v -run 'Cut|Kill|Sync|Fault' ./updater
	TORTURE_SIZE=full go test -count=1 -timeout 6h -v ./torture

fuzz: ## Fuzz every parser of foreign bytes for FUZZTIME (30s) each
	testdata/fuzz $(or $(FUZZTIME),30s)

lint: ## Check formatting, vet, and that nothing is left untidy
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "error: not formatted: run gofmt -w"; exit 1; }
	go vet ./...
	go mod tidy -diff

bench: setup build ## Measure speed, memory and sizes against the reference tools
	go run ./bench

# PAIRS="security config" measures some, and leaves the documents alone.
bench-updates: setup build ## Measure what updates cost, against the tools of others (an hour or so)
	@testdata/setup casync xdelta3 ostree bsdiff
	go run ./bench/updates $(if $(PAIRS),$(PAIRS),-docs docs/explanation)

site: setup ## Build the documentation as a site, .build/site, and look at each page in a browser
	@testdata/setup chromium
	HUGO_PARAMS_VERSION=$$(git describe --tags --always) SITE_FOLDER=$(CURDIR)/.build/site go test -count=1 -tags browser ./docs/site
	@echo "site: open .build/site/index.html"

packages: setup ## Make Debian and RPM packages of the programs, in .build/packages
	rm -rf .build/packages
	packaging/build .build/packages

container: packages ## Make the container image that CI runs proa in, .build/container
	rm -rf .build/container
	packaging/container .build/container .build/packages/proa_*_$$(go env GOHOSTARCH).deb

clean: ## Remove what the other targets made
	rm -rf bin .build
