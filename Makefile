# Each target makes .venv when it is missing and reuses it afterwards.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
STAMP := .venv/.installed
PAGE := _build/html/index.html
CHROMIUM := chromium chromium-browser google-chrome

.PHONY: help book serve lab edit test chromium lint format stubs bench bench-kernels clean

help:
	@echo "make book    build the book"
	@echo "make serve   build it and serve it on this machine only (PORT=$(PORT))"
	@echo "make lab     open copies of the chapters in JupyterLab (in _lab; delete one to reset it)"
	@echo "make edit    open the pages themselves in JupyterLab"
	@echo "make test    run every test"
	@echo "make lint    check style and types"
	@echo "make format  lay out code, pages and their cells"
	@echo "make stubs   write the type stub of the losses anew"
	@echo "make bench   measure speed and size"
	@echo "make bench-kernels   measure linear cross-entropy beside its peers (long)"
	@echo "make clean   remove what was built; .venv stays"

# Debian splits ensurepip off into python3-venv.
$(STAMP): pyproject.toml constraints.txt
	if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq; apt-get install -y -qq --no-install-recommends python3-venv; \
	  else \
	    echo "Python cannot make virtual environments here." >&2; \
	    echo "Install its venv module (on Debian: apt-get install python3-venv)." >&2; \
	    exit 1; \
	  fi; \
	fi
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -e ".[book,metrics,lab,test,lint]" -c constraints.txt
	touch $@

book: $(STAMP)
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book is at file://$(CURDIR)/$(PAGE)"

serve: book
	@echo "Serving on http://127.0.0.1:$(PORT)/ (stop with Ctrl-C)"
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory $(dir $(PAGE))

# Root, as in a container, must be allowed. Copies are trusted, so that their pictures are shown.
JUPYTERLAB = JUPYTER_CONFIG_PATH=$(CURDIR)/book/_jupyter $(BIN)/jupyter lab \
	$(if $(filter 0,$(shell id -u)),--allow-root)

lab: book
	mkdir -p _lab
	for page in _build/html/_sources/book/*.ipynb; do \
	  copy="_lab/$${page##*/}"; \
	  [ -e "$$copy" ] || { cp "$$page" "$$copy"; $(BIN)/jupyter trust "$$copy"; }; \
	done
	$(JUPYTERLAB) --ServerApp.root_dir=$(CURDIR)/_lab

edit: $(STAMP)
	$(JUPYTERLAB) --ServerApp.root_dir=$(CURDIR)/book

test: $(STAMP) chromium
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

chromium: $(STAMP)
	@for name in $(CHROMIUM); do if type -P "$$name" >/dev/null; then exit 0; fi; done; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq; apt-get install -y -qq --no-install-recommends chromium; \
	  else \
	    $(BIN)/playwright install chromium; \
	  fi

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format
	$(BIN)/python tests/book/style.py

stubs: $(STAMP)
	$(BIN)/python -c 'from lossviz import losses; from lossviz.declaration import stub; \
	  stub.write(losses, losses.LOSSES)'
	$(BIN)/ruff format --quiet lossviz/losses/__init__.pyi

bench: $(STAMP)
	$(BIN)/python tests/benchmarks/bench.py

bench-kernels: $(STAMP)
	$(BIN)/python -m lossviz.kernels.benchmarks.run $(BENCH)

clean:
	rm -rf _build build dist *.egg-info book/atlas book/_generated .pytest_cache .mypy_cache .ruff_cache .hypothesis
