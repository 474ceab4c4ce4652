# Two commands on a fresh machine with Python 3.11-3.13: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PEERS = $(VENV)/peers

.PHONY: demo test lint notebooks bench soak clean
.DELETE_ON_ERROR:

demo: $(VENV)/.installed
	$(BIN)/python train/demo.py --out runs/demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .

# In full, some minutes each; `make test` runs them in a reduced form.
notebooks: $(VENV)/.installed-test
	$(BIN)/python -m pytest --nbmake --nbmake-timeout=600 notebooks

# 2000 damaged files and 10 000 predictions of each kind; its numbers go into docs/reliability.md.
soak: $(VENV)/.installed-test
	$(BIN)/python tests/reliability/soak.py --page docs/reliability.md

# PyTorch and its VoxelMorph live in an environment of their own; PEER_PYTHON=/path/to/python names one that has them already.
ifndef PEER_PYTHON
bench: $(PEERS)/.installed
endif
bench: PEER_PYTHON ?= $(PEERS)/bin/python
bench: $(VENV)/.installed
	$(BIN)/python benchmarks/table.py --peer-python $(PEER_PYTHON)

$(PEERS)/.installed: $(VENV)/.created benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -r benchmarks/peers/requirements.txt
	@touch $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and "deepsim_tf needs Python 3.11 to 3.13, and $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed requirements-test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-test.txt
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
