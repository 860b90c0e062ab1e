# make demo   classify photographs with the model that ships (IMAGES=path for your own)
# make test   everything CI checks
# make docs   the documentation as a site, in build/site
# make lint   ruff and mypy alone
PYTHON ?= python3
BIN := .venv/bin
# What an installation depends on; it compiles the kernels in C, where it can.
SOURCES := pyproject.toml constraints.txt hatch_build.py $(wildcard src/exeunt/native/*.[ch])
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test docs lint unit wheel clean

demo: .venv/.demo
	$(BIN)/exeunt demo $(IMAGES)

test: lint unit docs wheel

lint: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

unit: .venv/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto

docs: .venv/.dev
	$(BIN)/python docs/make_site.py

# What users install: the wheel, made of the sdist, tagged as PyPI takes it, and tried away from the
# checkout, where a missing file cannot hide.
wheel: .venv/.dev
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m build --outdir build/wheel
	$(BIN)/python .ci/tag_wheel.py build/wheel
	$(BIN)/python .ci/try_wheel.py build/wheel

.venv/.demo: .venv/.made $(SOURCES)
	$(INSTALL) --editable '.[demo]'
	touch $@

.venv/.dev: .venv/.made $(SOURCES)
	$(INSTALL) --editable '.[dev]'
	touch $@ .venv/.demo

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'exeunt needs Python 3.11 or newer; name one with PYTHON=python3.12'; exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

clean:
	rm -rf .venv build dist src/exeunt/native/libexeunt.*
