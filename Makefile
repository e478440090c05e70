# For people and CI alike. What follows ## is what `make` alone shows.

PYTHON ?= python3
BIND ?= 127.0.0.1
PORT ?= 8080
# pytest's own options, e.g. PYTEST='-x -k stream'; both cores are used.
PYTEST ?= -q -n 2 --dist loadfile
SECONDS ?= 60

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -q

# Debian packages; of alternatives the first that is known there.
NEEDS = gcc libc6-dev binutils libuv1-dev zlib1g-dev 'libllhttp-dev|node-llhttp' python:$(PYTHON)
NEEDS_TESTS = clang "libclang-rt-dev|$(CLANG_RT)" libcmocka-dev wrk nghttp2-client slowhttptest nginx-light \
  haproxy caddy apache2-bin openssl musl-tools
CLANG_RT = libclang-rt-$$(clang -dumpversion 2>/dev/null | cut -d. -f1)-dev

# The folders too: a file that was added or removed changes theirs.
SOURCES := setup.py pyproject.toml tools/native.py $(wildcard csrc/* csrc/*/*.[ch] python/cwsgi/*.py* python/cwsgi/_tools/* python/cwsgi/_tools/_observer/* python/cwsgi/_tools)

.PHONY: help autobahn browser mutants roots images wheels release-check docs site operate crowd soak differential faults run build test test-one test-all lint unit pytest others bench-asgi format asan tsan fuzz bench leak portable clean
.NOTPARALLEL:

help:
	@echo "make TARGET [VARIABLE=...]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

run: $(VENV)/.installed ## serves the Flask example: BIND=127.0.0.1 PORT=8080 PYTHON=python3
	@$(BIN)/python tools/bindable.py $(BIND) $(PORT)
	@$(BIN)/python -c 'import flask' 2>/dev/null || $(PIP) install -r examples/flask/requirements.txt
	@echo "The Flask example: http://$(BIND):$(PORT)/"
	@exec $(BIN)/cwsgi --bind $(BIND):$(PORT) --chdir examples/flask main:app

# Whatever is compiled for developers is compiled with warnings as errors.
docs build test lint unit pytest others autobahn browser asan tsan faults fuzz bench leak soak crowd operate differential: export CWSGI_WERROR := 1
build: $(VENV)/.installed ## installs the project in .venv

test: $(if $(T),test-one,test-all) ## all tests; one: T=tests/wsgi/test_environ.py::test_path or T=tests/unit/test_buf.c

test-one: $(VENV)/.tests
	$(if $(filter %.c,$(T)),$(BIN)/python tools/ctests.py unit $(T),$(BIN)/python -m pytest $(T))

test-all: $(VENV)/.needs-tests lint portable unit pytest others asan faults

lint: $(VENV)/.tests ## formatting, layers, linters, types
	$(BIN)/clang-format --dry-run -Werror --ferror-limit=20 $$(find csrc tests bench -name '*.[ch]')
	$(BIN)/python tools/check_layers.py
	$(BIN)/python tools/tidy.py
	$(BIN)/ruff check -q .
	$(BIN)/ruff format -q --check .
	cd python && ../$(BIN)/mypy --strict --no-incremental --no-error-summary -p cwsgi
	$(BIN)/stubtest --allowlist tools/stubtest.txt cwsgi._core

portable: $(VENV)/.tests ## compiles the C source against musl
	$(BIN)/python tools/portable.py

format: $(VENV)/.tools ## formats C and Python
	$(BIN)/clang-format -i $$(find csrc tests bench -name '*.[ch]')
	$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

docs: $(VENV)/.installed ## writes docs/settings.md from the table of options
	$(BIN)/cwsgi --help-markdown > docs/settings.md

site: $(VENV)/.site ## the pages as a static site, in build/site: SITE_URL=https://docs.example/
	@command -v npm >/dev/null || tools/need.sh npm
	$(BIN)/python tools/website.py

unit: $(VENV)/.tests ## C tests and the fuzz targets on their corpora, with ASan and UBSan
	$(BIN)/python tools/ctests.py unit
	$(BIN)/python tools/ctests.py replay

pytest: $(VENV)/.tests ## tests on real servers: PYTEST='-x -k stream'
	$(BIN)/python -m pytest $(PYTEST) tests

others: $(VENV)/.tests ## some of them with every other CPython on this machine
	$(BIN)/python tools/pythons.py others $(PYTEST) -m 'not slow' tests/wsgi tests/asgi \
	  tests/ops/test_preload.py tests/ops/test_apps.py tests/ops/test_collector.py \
	  tests/http/test_request_timeout.py

asan: $(VENV)/.tests ## pytest on a build with ASan and UBSan: T=tests/http
	$(BIN)/python tools/pythons.py sanitized address,undefined $(PYTEST) $(or $(T),tests)

tsan: $(VENV)/.tests ## the same with TSan
	$(if $(T),,$(BIN)/python tools/ctests.py unit --sanitize thread)
	$(BIN)/python tools/pythons.py sanitized thread $(PYTEST) $(or $(T),tests)

faults: $(VENV)/.tests ## every allocation of a request fails once, in C and in Python
	$(BIN)/python tools/pythons.py faults -q -n 2 tests/hostile/test_faults.py \
	  tests/hostile/test_asgi_faults.py

mutants: $(VENV)/.tests ## statements of the C source that no test misses: N=20 T=csrc/http/conn.c
	$(BIN)/python tools/mutate.py --number $(or $(N),20) $(T)

roots: $(VENV)/.tools ## bare Debian systems in which all of this works: ROOTS='--only sid --steps run'
	@tools/need.sh debootstrap buildah
	$(BIN)/python tools/roots.py $(ROOTS)

wheels: $(VENV)/.wheels ## wheels for every CPython and system, and the sdist, in dist/: WHEELS='--only cp313'
	$(BIN)/python tools/wheels.py $(WHEELS)

images: $(VENV)/.tests ## builds and runs examples/docker on bases made here, with the wheels in dist/
	@tools/need.sh debootstrap buildah
	$(BIN)/python tools/images.py

release-check: $(VENV)/.tests $(VENV)/.wheels ## all that a release has to pass, in one table: RELEASE='--steps audit,roots --only sid'
	@tools/need.sh debootstrap qemu-user-static
	$(BIN)/python tools/release.py $(RELEASE)

leak: $(VENV)/.tests ## the tests that watch memory and references over many requests
	CWSGI_LEAK_COUNT=100000 $(BIN)/python -m pytest -q -rP -k leak tests

fuzz: $(VENV)/.tests ## looks for more inputs: SECONDS=60
	$(BIN)/python tools/ctests.py fuzz --seconds $(or $(T),$(SECONDS))

soak: $(VENV)/.installed ## good and hostile clients at once, every answer counted: SECONDS=60
	$(BIN)/python bench/soak.py --seconds $(SECONDS)

crowd: $(VENV)/.installed ## what thousands of bad peers cost the others
	@tools/need.sh wrk
	$(BIN)/python bench/crowd.py

operate: $(VENV)/.tests ## what clients lose while the server is reloaded and its workers are killed
	$(BIN)/python bench/operate.py

browser: $(VENV)/.tests ## the tests that need a browser, which this installs
	@tools/need.sh chromium
	$(BIN)/python -m pytest -q tests/asgi/test_asgi_browser.py

autobahn: $(VENV)/.tests ## every WebSocket case of Autobahn's: AUTOBAHN='--loop uvloop --only 12.*'
	$(BIN)/python tests/websocket_cases.py $(AUTOBAHN)

differential: $(VENV)/.tests ## what cwsgi accepts, h11 must accept alike: SECONDS=60
	$(BIN)/python tests/differential.py --seconds $(SECONDS)

bench: $(VENV)/.installed ## measures cwsgi beside its peers: BENCH='--tables hello'
	@tools/need.sh wrk libev-dev valgrind
	$(BIN)/python bench/run.py $(BENCH)

bench-asgi: $(VENV)/.tools ## the same for ASGI apps: BENCH='--tables raw,echo'
	@tools/need.sh wrk valgrind
	$(BIN)/python bench/asgi.py $(BENCH)

clean: ## removes what all of this made
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
	@# One module of it reads app.yaml, and needs nothing of what the others need.
	$(PIP) install --no-deps appengine-python-standard
	@touch $@

$(VENV)/.wheels: tools/wheels.txt | $(VENV)/.tools
	$(PIP) install -r tools/wheels.txt
	@touch $@

$(VENV)/.site: tools/site.txt | $(VENV)/.tools
	$(PIP) install -r tools/site.txt
	@touch $@
