# Two commands do everything on a machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# With the CPU-only build of torch 0.4 GB are downloaded instead of 3.2 GB: make demo TORCH=https://download.pytorch.org/whl/cpu
TORCH ?=
# Two stamps: what the demo needs, and what tests, checks and documentation need beside it.
USABLE := $(VENV)/.usable
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: demo test test-slow lint spelling docs glyphs benchmarks clean

demo: $(USABLE)
	$(BIN)/zerolabel demo -o demo --overwrite

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n auto --dist loadfile

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports && $(BIN)/python -m tools.spelling

# American spelling and plain words, see tools/deny_list.txt; `python -m tools.spelling --fix-american ROOT ...` rewrites.
spelling: $(INSTALLED)
	$(BIN)/python -m tools.spelling

# The documentation site in build/site; a warning or a dead link ends it.
docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	$(BIN)/python -m tools.cli_reference
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Train the embedded model again; needs fonts, see docs/glyphs.md.
glyphs: $(INSTALLED)
	$(BIN)/pip install -q -e ".[glyphs]"
	$(BIN)/python -m tools.glyphs.train

# Every figure in README and docs; each part can be stopped and continued.
benchmarks: $(INSTALLED)
	$(BIN)/python -m benchmarks.digits
	$(BIN)/python -m benchmarks.training_speed
	$(BIN)/python -m benchmarks.annotation
	$(BIN)/python -m benchmarks.transduction
	$(BIN)/python -m benchmarks.adaptation
	$(BIN)/python -m benchmarks.comparison --cells digits
	$(BIN)/python -m benchmarks.selection

$(USABLE): pyproject.toml
	@echo "Installing zerolabel and torch into $(VENV): a few minutes, depending on the network; pip shows what it fetches."
	$(PYTHON) -m venv $(VENV)
	$(PIP) --quiet --upgrade pip
	$(if $(TORCH),$(PIP) torch torchvision --index-url $(TORCH))
	$(PIP) -e .
	touch $@

$(INSTALLED): $(USABLE)
	@echo "Installing the tools of development into $(VENV): a few minutes more."
	$(PIP) -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build demo demo-digits
