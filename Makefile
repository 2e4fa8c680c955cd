# `make lab` and `make test` are all a newcomer types: each makes .venv and installs requirements.lock first. The parts of
# `make test` are `make unit`, `make browser` and `make check-notebooks`.
# `make notebooks` runs every notebook and keeps its outputs; `make lock` renews requirements.lock; `make bench` times ResNet
# V2 beside its peers in other libraries (see README.md), after a check of the PyTorch that notebook 07 prints.

SHELL := /bin/bash
PYTHON ?=
BIN := .venv/bin
READY := .venv/.ready
NOTEBOOKS ?= $(wildcard notebooks/*.ipynb)
IN_BROWSER := $(addprefix tests/site/test_,book.py lab.py explorer.py slides.py)
PYTEST := $(BIN)/python -m pytest -q -rs
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
NBMAKE := --nbmake --nbmake-kernel=python3 --nbmake-timeout=600 --overwrite
BOOK := README.md data/README.md $(wildcard book/* book/_static/* notebooks/*.ipynb resnet_lib/*.py)

.PHONY: lab test unit style browser copied book read notebooks check-notebooks course bench lock clean

lab: $(READY)
	$(BIN)/jupyter lab --notebook-dir=notebooks notebooks/00_start_here.ipynb

# All of it in one run, so that no core waits. Each file stays in one process, and what takes longest begins first
# (tests/conftest.py).
test: $(READY) style copied
	$(PYTEST) $(PARALLEL) $(NBMAKE) tests build/notebooks
	$(PYTEST) --noconftest tools/fresh_outputs.py

unit: $(READY) style
	$(PYTEST) $(PARALLEL) tests $(IN_BROWSER:%=--ignore=%)

style: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# In a real browser, Chromium; where there is none the tests are skipped and say so.
browser: $(READY)
	$(PYTEST) $(PARALLEL) $(IN_BROWSER)

# Runs a copy of every notebook headless, then holds what it printed against the committed outputs.
check-notebooks: $(READY) copied
	$(PYTEST) $(PARALLEL) --durations=0 $(NBMAKE) build/notebooks
	$(PYTEST) --noconftest tools/fresh_outputs.py

copied:
	rm -rf build/notebooks && mkdir -p build && cp -r notebooks build/

# The web book: open build/book/index.html. No notebook is run; a warning is an error. Fetched is, once and with npm, Python
# for browsers, with which the book's panels answer where it is served: `make read` does that on this machine.
# Its sources lie side by side, but for the picture, which stays in book/, where the README names it.
book: build/.book

build/.book: $(BOOK) | $(READY)
	rm -rf build/book build/book-source && mkdir -p build/book-source/book build/book-source/data
	cp -rp book/. notebooks README.md build/book-source/ && cp -p data/README.md build/book-source/data/
	mv build/book-source/degradation.svg build/book-source/book/
	$(BIN)/python book/browser_python.py build/pyodide build/book-source/_static/live
	$(BIN)/python -m sphinx -q -W --keep-going -d build/book-source/.doctrees build/book-source build/book
	touch $@

read: book
	$(BIN)/python book/serve.py build/book

# What a lecturer hands out, in build/course: a folder for students, whose predictions lock, and slides. No notebook is run.
course: $(READY)
	$(BIN)/python tools/course.py build/course $(wildcard notebooks/*.ipynb)

notebooks: $(READY)
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.kernel_name=python3 \
		--ExecutePreprocessor.record_timing=False $(NOTEBOOKS)
	$(BIN)/python tools/tidy_notebooks.py $(NOTEBOOKS)
	$(BIN)/python tools/readme_figure.py

# Installs the extra `bench`, which requirements.lock leaves out, and writes a new table.
BENCH_CSV ?= build/engine_times.csv
bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[bench]'
	$(BIN)/python -m experiments.torch_unit
	mkdir -p build && $(BIN)/python -m experiments.bench_forward --csv $(BENCH_CSV)

# The first of these that is Python 3.11 to 3.13 and can make a virtual environment. All cores compile what pip would compile on
# one, but for the packages' own tests; files that are for another Python do not compile, and need not. JupyterLab asks no one
# there whether it may fetch news.
$(READY): requirements.lock pyproject.toml
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
		if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then \
			found=$$python; \
			if $$python -c 'import venv, ensurepip' 2>/dev/null; then chosen=$$python; break; fi; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "resnet_lib needs Python 3.11, 3.12 or 3.13; here there is: $$(python3 --version 2>&1 || echo none)." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.12 lab" >&2; exit 1; \
	fi; \
	if [ -z "$$chosen" ]; then \
		echo "$$found has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi; \
	echo "Setting up .venv with $$($$chosen --version): about 4 GB, a few minutes, once."; \
	$$chosen -m venv --clear .venv && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r requirements.lock && \
	{ $(BIN)/python -m compileall -qq -j 0 -x '/tests/' .venv/lib || true; } && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . && \
	$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements" 2> /dev/null && \
	touch $@ || { \
		echo "Set-up stopped; the reason stands above. It needs about 4 GB of disk and a connection: a version that pip" \
			"\"could not find\" is nearly always an index that it did not reach. The same command begins anew." >&2; exit 1; \
	}

lock:
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
		--no-emit-find-links --custom-compile-command "make lock" --extra notebooks --extra test --extra site \
		pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv build *.egg-info
