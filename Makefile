# Every target makes the environment it needs first. State lives in .tandem/ (TANDEM_HOME).
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
PY := .venv/bin/python
STATE = $(abspath $(or $(TANDEM_HOME),.tandem))
export PYTHONUNBUFFERED = 1
# Some images forbid Python to keep what it compiled, and pip is told below not to: each process would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo serve run status warm-kernels test coverage lint proto load bench cost-profile metric-calls chaos network manifests browser chromium build image image-test lock sbom audit clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Of the project its dependencies alone are installed, and a link to the client: what runs is what stands in this folder.
REQUIREMENTS = import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	print("\n".join(p["dependencies"] + [r for e in sys.argv[1:] for r in p["optional-dependencies"][e]]))

.venv/installed: pyproject.toml clients/python/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tandem: Python 3.11 or newer is needed; name one with PYTHON=...")'
	@echo "tandem: installing into .venv (about two minutes, 1.9 GB) ..."
	@$(PYTHON) -m venv .venv
	@$(PY) -c '$(REQUIREMENTS)' > .venv/requirements.txt
	@$(PY) -m pip install --quiet --no-compile --disable-pip-version-check -r .venv/requirements.txt
	@$(PY) -m pip install --quiet --no-compile --disable-pip-version-check --no-deps -e clients/python
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "tandem: installing what the tests need ..."
	@$(PY) -c '$(REQUIREMENTS)' dev dask > .venv/requirements-dev.txt
	@$(PY) -m pip install --quiet --no-compile --disable-pip-version-check -r .venv/requirements-dev.txt
	@touch $@

.venv/installed-bench: .venv/installed
	@echo "tandem: installing what it is measured against ..."
	@$(PY) -c '$(REQUIREMENTS)' bench > .venv/requirements-bench.txt
	@$(PY) -m pip install --quiet --no-compile --disable-pip-version-check -r .venv/requirements-bench.txt
	@touch $@

setup: .venv/installed ## install into .venv
	@echo "tandem: everything is installed in .venv. Run in each terminal: source .venv/bin/activate"
	@echo "Next: make demo for the sample, docs/your-shop.md for your own data."

demo: .venv/installed ## set up, train on the sample, publish, serve on PORT (3000), tell the story (ONCE=1: then end)
	@exec $(PY) -m flows.demo $(if $(ONCE),--once)

serve: .venv/installed ## serve what is live (PORT, GRPC_PORT, REDIS_URL, TANDEM_TOPOLOGY=split|inline)
	@exec $(PY) -m service serve

# A run replaces what is live, so DATA has no default. Without DATA nothing is installed either.
run: $(if $(DATA),.venv/installed) ## train, evaluate, pass the gate, publish, promote (DATA=folder or .toml; CONFIG=small; SET="seed=1 ..."; FORCE=1)
	$(if $(DATA),,$(error Say which data: make run DATA=FOLDER; the sample is DATA=data/movietweetings))
	@exec $(PY) -m flows run --data '$(DATA)' $(if $(CONFIG),--config $(CONFIG)) $(SET:%=--set '%') $(if $(FORCE),--force)

status: .venv/installed ## what is live
	@exec $(PY) -m flows status

warm-kernels: .venv/installed # compiles the kernels once; each test process would compile them
	@$(PY) -m training.warm_kernels

# The longest tests are first. One thread of OpenBLAS in each process: threads of two processes would spin for the cores.
TESTS = tests/integration tests/flows tests/service tests/chaos tests/skew tests/unit tests/contracts tests/browser

test: .venv/installed-dev ## lint, types, imports, tests
	@$(MAKE) --no-print-directory -j 3 warm-kernels lint chromium
	@OPENBLAS_NUM_THREADS=1 GOMP_SPINCOUNT=0 $(PY) -m pytest -q -m "not slow" -n 3 --dist loadfile --no-loadscope-reorder $(TESTS)

# The tests of pages skip without Chromium. Root on Debian, as in CI, gets it.
chromium:
	@command -v chromium >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "tandem: installing Debian's chromium for the tests of pages ..."; \
		{ apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core; } >.venv/apt.log 2>&1 \
			|| echo "tandem: no chromium (.venv/apt.log): the tests of pages skip"; \
	fi

coverage: .venv/installed-dev ## the tests once more, a third slower, and which lines none of them runs
	@exec $(PY) -m pytest --cov --cov-report=term -q

lint: .venv/installed-dev ## ruff, mypy, import rule, the proto and its changes since the last release
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@.venv/bin/buf lint
	@.venv/bin/buf breaking --against tests/released

proto: .venv/installed-dev ## write the gRPC code of the service and of the client from service/grpc/tandem/v1/recommender.proto
	@$(PY) -m grpc_tools.protoc -I . --python_out=. --pyi_out=. --grpc_python_out=. --include_imports \
		--descriptor_set_out=clients/python/tandem_client/recommender.binpb service/grpc/tandem/v1/recommender.proto

load: .venv/installed ## an open loop against PORT (SURFACE, RATE a second, SHAPE, DURATION s, USERS=file, CLICKS=1): promise held? exit code, page
	@exec $(PY) -m locust -f loadtests/locustfile.py --headless --only-summary --host http://127.0.0.1:$${PORT:-3000} \
		--surface $${SURFACE:-default} --rate $${RATE:-0} --shape $${SHAPE:-steady} --seconds $${DURATION:-30} \
		$(if $(USERS),--user-file '$(USERS)') $(if $(CLICKS),--clicks)

bench: .venv/installed-bench ## beside FastAPI and plain BentoML: the same slates, CPU a request; an hour (BENCH=--knee, --overload, ...)
	@exec $(PY) -m loadtests.bench $(BENCH)

cost-profile: .venv/installed ## CPU and memory of each mode on this machine, for `training advise`; five minutes (COSTS=--check, --promises)
	@exec $(PY) -m loadtests.bench.cost_profile $(COSTS)

metric-calls: .venv/installed ## CPU of the calls of metrics of one request; exit code 1 above 60 us
	@exec $(PY) -m loadtests.bench.metric_calls

chaos: .venv/installed-dev ## every fault under load, with a table, and the slow tests; 1 where either failed
	@$(PY) -m tests.chaos; faults=$$?; $(PY) -m pytest -q -m slow && exit $$faults

network: .venv/installed-dev ## four hosts in network namespaces, cut off one after the other under load; as root
	@exec $(PY) -m tests.network

.venv/installed-manifests: .venv/installed-dev
	@$(PY) -c '$(REQUIREMENTS)' manifests > .venv/requirements-manifests.txt
	@$(PY) -m pip install --quiet --no-compile --disable-pip-version-check -r .venv/requirements-manifests.txt
	@touch $@

manifests: .venv/installed-manifests ## deploy/ against the schemas of Kubernetes and of Compose
	@exec $(PY) -m pytest -q tests/unit/project/test_manifests.py

browser: .venv/installed-dev chromium ## the tests of pages in Debian's Chromium: at 390 pixels, by the keyboard
	@exec $(PY) -m pytest -q tests/browser

# The pin is an argument of the bento: `flows pin` writes it, and service/generations/pinned.py reads it.
build: export PYTHONDONTWRITEBYTECODE = 1
build: .venv/installed ## build the bento; it holds what is live, and serves it with Redis away
	@$(PY) -m flows pin
	@BENTOML_HOME='$(STATE)/bentoml' .venv/bin/bentoml build --arg-file '$(STATE)/bentoml/pinned.json'

image: build ## that bento as an image, by docker, podman or buildah (IMAGE, IMAGE_BASE, IMAGE_ARGS; docs/deploy.md)
	@BENTOML_HOME='$(STATE)/bentoml' exec $(PY) -m deploy.image.build

image-test: .venv/installed-dev ## build the image from nothing, run it confined, ask it, stop it under load; minutes, as root
	@exec $(PY) -m tests.image

lock: .venv/installed-dev ## lock what the image installs, by hash, in the versions that the tests run with
	@exec $(PY) -m deploy.image.lock

sbom: .venv/installed-dev ## what the image installs, as CycloneDX, into .tandem/sbom.cdx.json
	@exec $(PY) -m deploy.image.bill_of_materials sbom

audit: .venv/installed-dev ## what is known against what the image installs; 1 where something is
	@exec $(PY) -m deploy.image.bill_of_materials audit

clean: ## remove the environment and all state
	rm -rf .venv .tandem
