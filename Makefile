# make lab      open the first lesson in JupyterLab
# make test     run the checks, but for the slow ones, and three of the lessons; two processes side by side
# make test-all      run every check that this machine can run
# make notebooks     execute the lessons again, at the laptop scale, and keep what they show
# make assignments   make the students' and the graders' versions of the assignments
# make bench         only the speed of training
# make site          the lessons and the explorer of the recorded runs as a web site, in the folder site/
#
# The first call makes .venv and installs the project there. Choices, for that first call:
#   make lab PYTHON=python3.13    another Python (3.11 to 3.14)
#   make lab TORCH=cpu            the build of PyTorch without CUDA: a much smaller download

PYTHON ?= python3
BIN := .venv/bin

ifneq ($(filter-out cpu,$(TORCH)),)
$(error TORCH=$(TORCH) is not known; TORCH=cpu is, or leave it out)
endif

# JupyterLab refuses to run as root unless told to, as in a container.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
# Linux without a display has no browser to open: JupyterLab then only prints its address.
NO_BROWSER := $(if $(filter-out Linux,$(shell uname))$(DISPLAY)$(WAYLAND_DISPLAY),,--no-browser)

.PHONY: lab test test-all check-first check-rest notebooks assignments bench site

# On PATH, so that `!airbench ...` in a cell and `airbench ...` in JupyterLab's terminal find the command.
lab: .venv/.installed-lab
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m jupyterlab $(AS_ROOT) $(NO_BROWSER) \
	    --notebook-dir=notebooks --LabApp.default_url=/lab/tree/00_start_here.ipynb

# Two processes side by side, for two cores. (pytest-xdist, tried at 3.8, runs a test that ends its worker again and again.)
CHECK = AIRBENCH_SCALE=smoke $(BIN)/python -m pytest -rs --nbval-current-env --nbval-lax
FIRST := tests/core tests/lab/grading tests/lab/study tests/benchmarks
LESSONS := $(wildcard notebooks/00_*.ipynb notebooks/02_*.ipynb notebooks/09_*.ipynb)

test: NOT_SLOW := -m "not slow"
test-all: LESSONS := notebooks
test test-all: .venv/.installed-test
	$(BIN)/python -m ruff check . && $(BIN)/python -m ruff format --check .
	$(MAKE) -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync) check-first check-rest \
	    NOT_SLOW='$(NOT_SLOW)' LESSONS='$(LESSONS)'

check-first:
	$(CHECK) $(NOT_SLOW) $(FIRST)

check-rest:
	$(CHECK) $(NOT_SLOW) tests $(LESSONS) $(addprefix --ignore=,$(FIRST))

notebooks: .venv/.installed-test
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m airbench_lab.refresh

assignments: .venv/.installed-course
	$(BIN)/python -m airbench_lab.grading.generate

bench: .venv/.installed-lab
	$(BIN)/python -m airbench_lab.cli bench

site: .venv/.installed-site
	$(BIN)/python -m airbench_lab.cli site --out site

# One stamp for each extra, made again when pyproject.toml has changed.
.venv/.installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || \
	    { echo "$(PYTHON) is not Python 3.11 to 3.14; name one that is: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(if $(TORCH),$(BIN)/python -m pip install torch torchvision --index-url https://download.pytorch.org/whl/cpu)
	$(BIN)/python -m pip install -e '.[$*]'
	@touch $@
