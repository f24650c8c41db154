# Everything runs in .venv, which each target sets up by itself. Needs Python 3.11 or newer, git and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED_FROM := pyproject.toml setup.py keras_mgnet/version.py
# uv takes a quarter of pip's time, but does not read pip's configuration. Where uv is missing or fails, pip installs.
INSTALL = { test -x $(BIN)/uv && $(BIN)/uv pip install --quiet --python $(BIN)/python $(PACKAGES); } || \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(PACKAGES)

unexport PYTHONDONTWRITEBYTECODE  # else each of the many processes that tests start compiles TensorFlow's and Keras' modules

.PHONY: demo test test-all test-lowest coverage docs notebooks lint clean

demo: $(VENV)/.runtime  ## train, evaluate and export an MgNet on real digits, about three minutes
	$(BIN)/keras-mgnet demo --out demo/$$(date +%Y%m%d-%H%M%S)

test: $(VENV)/.test  ## the default suite
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python -m pytest -n auto

test-all: PACKAGES = -e '.[wandb,mlflow]'
test-all: $(VENV)/.test  ## the slow tests too, and those of the trackers
	$(INSTALL)
	$(BIN)/python -m pytest -n auto -m ''

test-lowest:  ## the default suite with the oldest supported versions; tests/environments/run.py has other environments
	$(PYTHON) tests/environments/run.py lowest -- -n auto

coverage: $(VENV)/.test  ## the default suite, and which lines it does not run
	$(BIN)/python -m pytest -n auto --cov --cov-report=term-missing

docs: $(VENV)/.docs  ## the documentation as build/site; a broken link, reference or picture fails
	$(BIN)/python docs/build.py

notebooks: $(patsubst notebooks/%.md,build/notebooks/%.ipynb,$(wildcard notebooks/*.md))  ## run them; `make docs` then shows their pictures

# Without a port, and what TensorFlow notes while it starts stays in the terminal.
KERNEL := --KernelManager.transport=ipc --ExecutePreprocessor.extra_arguments=--IPKernelApp.capture_fd_output=False

build/notebooks/%.ipynb: notebooks/%.md $(VENV)/.test
	rm -rf $(@D)/$* && mkdir -p $(@D)/$*
	cd $(@D)/$* && export PATH="$(CURDIR)/$(BIN):$$PATH" && \
	jupytext --quiet --to ipynb --output $*.ipynb $(CURDIR)/$< && \
	jupyter nbconvert --execute $(KERNEL) --to notebook --output-dir .. $*.ipynb

lint: $(VENV)/.test  ## format and check the sources; with pyright too where it is installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/mypy
	! command -v pyright >/dev/null || pyright --pythonpath $(BIN)/python

clean:  ## remove what the targets made
	rm -rf $(VENV) demo build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit("expected Python 3.11 or newer, \
	such as PYTHON=python3.12. Received: %d.%d" % v)'
	$(PYTHON) -m venv $(VENV)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary=:all: uv

$(VENV)/.runtime: PACKAGES = -e '.[all,serve]'
$(VENV)/.runtime: $(INSTALLED_FROM) | $(VENV)/bin/python
	$(INSTALL)
	@touch $@

$(VENV)/.docs: PACKAGES = 'zensical>=0.0.73,<0.1' 'mkdocstrings-python>=2,<3' 'latex2mathml>=3.77,<4'
$(VENV)/.docs: $(INSTALLED_FROM) | $(VENV)/bin/python
	$(INSTALL)
	@touch $@

$(VENV)/.test: PACKAGES = -e '.[all,test]'
$(VENV)/.test: $(INSTALLED_FROM) | $(VENV)/bin/python
	$(INSTALL)
	@touch $@ $(VENV)/.runtime
