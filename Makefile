# SPDX-FileCopyrightText: 2026 oomkit contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# Only names for what tools/ does. Everything is set up in .venv as it is needed; `make` alone lists the targets.
SHELL = /bin/sh
TESTS = tools/python.sh tools/environment.py test && .venv/bin/python tools/run_tests.py

.PHONY: help demo test quick unit package integration fuzz matrix lint sanity docs bench bench-quick lab lab-matrix molecule build clean

help: ## this list
	@sed -n 's/^\([a-z-]*\): ## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

demo: ## audit this machine, and show what an example policy would change; changes nothing
	@tools/python.sh tools/environment.py demo && .venv/bin/python tools/demo.py

test: ## every test: unit, package, integration, sanity, lint, benchmarks in short, the lab on Debian 13 beside molecule in short (about 33 minutes)
	@$(TESTS) unit package integration sanity+lint bench-quick lab+molecule-quick

quick: ## unit tests without the thorough ones, and quick lint, in a minute
	@$(TESTS) quick-unit quick-lint

unit: ## unit tests
	@$(TESTS) unit

package: ## documentation, tarball, demo, and the target code on Python 3.6
	@$(TESTS) package

integration: ## ansible-test integration on this machine; its targets change nothing here
	@$(TESTS) integration

fuzz: ## hostile inputs for an hour, or OOMKIT_FUZZ_S=60 seconds; ends with the first finding
	@tools/python.sh tools/environment.py test && .venv/bin/python tools/fuzz.py

matrix: ## every supported ansible-core, every Python at hand, and three machines of the lab in short, as a table (half an hour and more)
	@tools/python.sh tools/environment.py test && .venv/bin/python tools/matrix.py

lint: ## ruff, yamllint, shellcheck, ansible-lint, changelog and licences
	@$(TESTS) lint

sanity: ## ansible-test sanity, with nothing ignored
	@$(TESTS) sanity

docs: ## the documentation site in .cache/docs/html, without a warning
	@tools/python.sh tools/environment.py test && .venv/bin/python tools/docs.py

bench-quick: ## the benchmarks in short, as make test runs them
	@$(TESTS) bench-quick

bench: ## all benchmarks, each a ratio in one run (most of an hour; make test runs them in short)
	@$(TESTS) bench

lab: ## tests on a real kernel, in a disposable Debian 13
	@$(TESTS) lab

lab-matrix: ## the same on all kernels: Debian 11, 12, 13, and 13 with the backports kernel; and without systemd (hours)
	@$(TESTS) lab-bullseye lab-bookworm lab-trixie lab-trixie-backports lab-sysvinit lab-openrc

# One machine of the matrix, such as lab-bookworm.
lab-%:
	@$(TESTS) $@

molecule: ## the role on a machine with real services; OOMKIT_SCENARIOS="policy undo" for some scenarios only
	@$(TESTS) molecule

build: ## the tarball for ansible-galaxy, in .cache/build
	@tools/python.sh tools/environment.py demo && .venv/bin/ansible-galaxy collection build --force --output-path .cache/build

clean: ## remove everything that was made here
	rm -rf .venv .cache .ansible .hypothesis .pytest_cache .ruff_cache tests/output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
