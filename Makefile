# make demo   a short talk with a language model in the C that a board runs
# make quick  the layers, the units but for the trainer, and a conversation with the host board, in about a minute
# make test   check everything
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Packages as the type checker finds them: the folders of this tree under the name they are installed as.
TYPED := $(VENV)/typed
PACKAGES := boards codegen firmware host models
# torch and transformers are large: CI has them, a person may ask for them (make test EXTRAS=...,peers).
comma := ,
EXTRAS := test,virtual,plots,serve,site,web,labgrid$(if $(CI),$(comma)peers)

C_FILES := $(shell find firmware tests/pipeline/arduino_stub tests/fuzz/c -name '*.[ch]' -o -name '*.cpp')

# A file stays with one worker, for its fixtures, and so do the tests of a board (tests/conftest.py); in the order of their
# names the long files come first. Four workers for two cores: a test that talks to a board often waits.
PARALLEL := -n 4 --dist loadgroup --no-loadscope-reorder

# Our matrices are small, and the tests share the cores: one BLAS thread each.
export OPENBLAS_NUM_THREADS ?= 1

# The tests start the tool hundreds of times: where byte code may not be kept, each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo quick test test-all checked rewritten packages lint types fuzz counts faults soak reliability records \
    benchmarks counted costs site pictures clean

demo: $(VENV)/installed
	$(BIN)/python docs/examples/demo.py

quick: $(VENV)/testing
	$(BIN)/pytest -n 3 --dist worksteal -m "not sweep" tests/unit --ignore tests/unit/training \
	    tests/boards/test_core.py --board host

test: packages checked
	$(BIN)/pytest $(PARALLEL) -m "not sweep"

test-all: packages checked
	$(BIN)/pytest $(PARALLEL) --hypothesis-profile=thorough

# mypy takes one core. On the other pytest rewrites the assertions of all modules, which else each worker would do.
checked: $(VENV)/testing
	$(MAKE) -j 2 lint types rewritten

rewritten: $(VENV)/testing
	@$(BIN)/pytest --collect-only >/dev/null || true

packages:
	sh tests/system_packages.sh

lint: $(VENV)/testing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if command -v clang-format >/dev/null; then clang-format --dry-run -Werror $(C_FILES); \
	else echo "clang-format is not installed: the format of the C is not checked"; fi

# Fuzz every target for SECONDS, or HOURS; those of TARGETS="sampler gguf" alone, from SEED=1, JOBS=2 of them at once
# (docs/fuzzing.md)
SECONDS := $(if $(HOURS),$(shell expr $(HOURS) \* 3600),60)
fuzz: $(VENV)/fuzzing
	$(BIN)/python -m tests.fuzz $(TARGETS) --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) \
	    $(if $(JOBS),--jobs $(JOBS)) --record

# A million damaged frames and a hundred thousand hostile files, or FRAMES= and FILES=, from SEED=1
counts: $(VENV)/testing
	$(BIN)/python -m tests.fuzz.counts --seed $(or $(SEED),1) $(if $(FRAMES),--frames $(FRAMES)) \
	    $(if $(FILES),--files $(FILES)) --record

# docs/benchmarks.md and its plots, from the records in benchmarks/
benchmarks: $(VENV)/testing
	$(BIN)/python -m tinyllm.host.prove.benchmarks_page

# A record of each virtual board more, in benchmarks/: of the tests' story model, and of stories260K if it is there.
# With int4 weights: OPTIONS="--weights int4 --calibrate FILE"
records: $(VENV)/testing
	for model in tests/data/tinystories-260k $(wildcard $(TINYLLM_TEST_DATA)/stories260K/stories260K.bin); do \
	  for board in "pico --cores 1" "pico --cores 2" "pico --emulator rp2040js" "pico2 --cores 1" "pico2 --cores 2" \
	      esp32 esp32c3 esp32s3; do \
	    $(BIN)/tinyllm bench $$model --board $$board --virtual --context 256 --positions 0,64,255 $(OPTIONS) \
	      --save || exit 1; \
	  done; \
	done

# What a token costs the virtual boards, counted again and accepted: all, or BOARDS="pico pico2"
counted: $(VENV)/testing
	$(BIN)/python -m tinyllm.host.prove.counted $(BOARDS)

# What `tinyllm fit` estimates from: random models, counted on the virtual boards, all or BOARDS="pico pico2"
costs: $(VENV)/testing
	$(BIN)/python -m tinyllm.host.prove.shapes $(BOARDS)
	$(BIN)/python -m tinyllm.host.prove.costs_fit

# Power cuts, noise, kills, full disks, two hosts and clocks that jump: hours of it; ROUNDS of each
ROUNDS := 1000
faults: $(VENV)/testing
	$(BIN)/python -m tests.reliability.noise --rounds $(ROUNDS) --save
	$(BIN)/python -m tests.reliability.noise --rounds $(ROUNDS) --calls --save
	$(BIN)/python -m tests.reliability.power --rounds $(ROUNDS) --save
	$(BIN)/python -m tests.reliability.kills --save
	$(BIN)/python -m tests.reliability.disk --save
	$(BIN)/python -m tests.reliability.hosts_and_clocks --save

# Conversations of every kind on four boards at once, HOURS long
HOURS := 24
soak: $(VENV)/testing
	$(BIN)/python -m tests.reliability.soak --hours $(HOURS) --save

# docs/reliability.md, from the records in reliability/
reliability: $(VENV)/testing
	$(BIN)/python -m tests.reliability.page

# The documentation as a site in build/site; any web server shows it: python3 -m http.server -d build/site
site: $(VENV)/testing
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# What commands print, as pictures for docs/gallery.md
pictures: $(VENV)/testing
	$(BIN)/python docs/pictures.py

types: $(VENV)/testing
	mkdir -p $(TYPED)/tinyllm
	ln -sf ../../../tinyllm/*.py $(TYPED)/tinyllm/
	for package in $(PACKAGES); do ln -sfn ../../../$$package $(TYPED)/tinyllm/$$package; done
	MYPYPATH=$(TYPED) $(BIN)/mypy $(foreach package,$(PACKAGES),-p tinyllm.$(package)) -p tinyllm

$(BIN)/python:
	sh tests/make_venv.sh $(PYTHON) $(VENV)

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/testing: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	touch $@ $(VENV)/installed

$(VENV)/fuzzing: $(VENV)/testing
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS),fuzz]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
