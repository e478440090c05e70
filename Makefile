# For people and CI alike. `make run` serves an example, `make test` proves that all works.

PYTHON ?= python3
PORT ?= 8080
# pytest's own options, e.g. PYTEST='-x -k stream'; both cores are used.
PYTEST ?= -q -n 2 --dist loadfile
SECONDS ?= 60

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -q

# Debian packages; of alternatives the first that is known there.
NEEDS = gcc libc6-dev binutils libuv1-dev 'libllhttp-dev|node-llhttp' python:$(PYTHON)
NEEDS_TESTS = clang "libclang-rt-dev|$(CLANG_RT)" libcmocka-dev wrk nghttp2-client slowhttptest nginx-light \
  musl-tools
CLANG_RT = libclang-rt-$$(clang -dumpversion 2>/dev/null | cut -d. -f1)-dev

# The folders too: a file that was added or removed changes theirs.
SOURCES := setup.py pyproject.toml tools/native.py $(wildcard csrc/* csrc/*/*.[ch] python/cwsgi/*.py*)

.PHONY: mutants roots docs operate crowd soak differential faults run build test test-one test-all lint unit pytest others format asan tsan fuzz bench leak portable clean
.NOTPARALLEL:

run: export PORT := $(PORT)
run: $(VENV)/.installed
	@$(BIN)/python -c 'import flask' 2>/dev/null || $(PIP) install -r examples/flask/requirements.txt
	@echo "The Flask example: http://127.0.0.1:$(PORT)/"
	@exec $(BIN)/cwsgi --chdir examples/flask main:app

# Whatever is compiled for developers is compiled with warnings as errors.
docs build test lint unit pytest others asan tsan faults fuzz bench leak soak crowd operate differential: export CWSGI_WERROR := 1
build: $(VENV)/.installed

# make test T=tests/wsgi/test_environ.py::test_path, or T=tests/unit/test_buf.c
test: $(if $(T),test-one,test-all)

test-one: $(VENV)/.tests
	$(if $(filter %.c,$(T)),$(BIN)/python tools/ctests.py unit $(T),$(BIN)/python -m pytest $(T))

test-all: $(VENV)/.needs-tests lint portable unit pytest others asan faults

lint: $(VENV)/.tools
	$(BIN)/clang-format --dry-run -Werror --ferror-limit=20 $$(find csrc tests bench -name '*.[ch]')
	$(BIN)/python tools/check_layers.py
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .

# The C code against musl, which has none of glibc's own.
portable: $(VENV)/.tests
	$(BIN)/python tools/portable.py

format: $(VENV)/.tools
	$(BIN)/clang-format -i $$(find csrc tests bench -name '*.[ch]')
	$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

# The reference page, from the table of options.
docs: $(VENV)/.installed
	$(BIN)/cwsgi --help-markdown > docs/settings.md

unit: $(VENV)/.tests
	$(BIN)/python tools/ctests.py unit
	$(BIN)/python tools/ctests.py replay

pytest: $(VENV)/.tests
	$(BIN)/python -m pytest $(PYTEST) tests

others: $(VENV)/.tests
	$(BIN)/python tools/pythons.py others $(PYTEST) -m 'not slow' tests/wsgi \
	  tests/ops/test_preload.py tests/ops/test_apps.py tests/http/test_request_timeout.py

asan: $(VENV)/.tests
	$(BIN)/python tools/pythons.py sanitized address,undefined $(PYTEST) $(or $(T),tests)

tsan: $(VENV)/.tests
	$(if $(T),,$(BIN)/python tools/ctests.py unit --sanitize thread)
	$(BIN)/python tools/pythons.py sanitized thread $(PYTEST) $(or $(T),tests)

# Every allocation of a request fails once, in C and in Python.
faults: $(VENV)/.tests
	$(BIN)/python tools/pythons.py faults -q -n 2 tests/hostile/test_faults.py

# Statements of the C source that no test misses: make mutants N=20 T=csrc/http/conn.c
mutants: $(VENV)/.tests
	$(BIN)/python tools/mutate.py --number $(or $(N),20) $(T)

# Bare Debian systems in which all of this works: make roots ROOTS='--only sid --steps run'
roots: $(VENV)/.tools
	@tools/need.sh debootstrap buildah
	$(BIN)/python tools/roots.py $(ROOTS)

# Only the tests that watch memory and references over many requests.
leak: $(VENV)/.tests
	$(BIN)/python -m pytest -q -k leak tests

# make fuzz SECONDS=600 (or T=600)
fuzz: $(VENV)/.tests
	$(BIN)/python tools/ctests.py fuzz --seconds $(or $(T),$(SECONDS))

# Good and hostile clients at once for a while, every answer counted: make soak SECONDS=600
soak: $(VENV)/.installed
	$(BIN)/python bench/soak.py --seconds $(SECONDS)

# What thousands of bad peers cost the others.
crowd: $(VENV)/.installed
	@tools/need.sh wrk
	$(BIN)/python bench/crowd.py

# What clients lose while the server is reloaded and its workers are killed.
operate: $(VENV)/.tests
	$(BIN)/python bench/operate.py

# What cwsgi accepts, h11 must accept alike: make differential SECONDS=600
differential: $(VENV)/.tests
	$(BIN)/python tests/differential.py --seconds $(SECONDS)

bench: $(VENV)/.installed
	@tools/need.sh wrk libev-dev
	$(BIN)/python bench/run.py $(BENCH)

clean:
	rm -rf build dist $(VENV) python/*.egg-info

# ---- what the above stands on: Debian packages when root, a venv, the installed project ----

# Before anything else, so that all that is missing is named at once.
$(VENV)/.needs: Makefile tools/need.sh
	@tools/need.sh $(NEEDS)
	@mkdir -p $(VENV) && touch $@

$(VENV)/.needs-tests: Makefile tools/need.sh
	@tools/need.sh $(NEEDS) $(NEEDS_TESTS)
	@mkdir -p $(VENV) && touch $@ $(VENV)/.needs

$(VENV)/.made: | $(VENV)/.needs
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.tools: tools/requirements.txt | $(VENV)/.made
	$(PIP) install -r tools/requirements.txt
	@touch $@

$(VENV)/.installed: $(SOURCES) | $(VENV)/.tools
	$(PIP) install --no-build-isolation --no-deps --force-reinstall .
	@touch $@

$(VENV)/.tests: $(VENV)/.needs-tests tests/requirements.txt $(VENV)/.installed | $(VENV)/.tools
	$(PIP) install -r tests/requirements.txt
	@touch $@
