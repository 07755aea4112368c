# From nothing but git, make, Python 3.11..3.13 and pip:
#   make quickstart   set up, run the quickstart study, write its report
#   make test         set up, run the tests (make test-fast: a minute's choice of them)
PYTHON ?= python3
UV := .uv/bin/uv
BENCH := .venv/bin/bench

.PHONY: setup quickstart test test-fast test-long test-wheel benchmark lint audit schema docs answer constraints clean

setup: .venv/.installed

# uv takes torch and torchvision builds that belong together; it is fetched into a folder of its own.
$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .uv uv

.venv/.installed: pyproject.toml constraints.txt | $(UV)
	test -x .venv/bin/python || $(UV) venv --quiet --python $(PYTHON) .venv
	$(UV) pip install --quiet --python .venv/bin/python --compile-bytecode -c constraints.txt -e '.[dev]'
	touch $@

quickstart: setup
	$(BENCH) run studies/quickstart.yaml

# Two processes; a file's tests share what they prepare, so they stay in one. Who gets what when: tests/support/schedule.py.
test: setup
	.venv/bin/python -m pytest -p tests.support.schedule -m "not long" -n 2 --dist loadfile --durations=10

# The daily loop, under a minute: whole files without processes, servers, browsers or studies.
test-fast: setup
	.venv/bin/python -m pytest -m "not long" -n 2 --dist loadfile @tests/fast.txt

# Minutes each: many real kills, studies run to the end.
test-long: setup
	.venv/bin/python -m pytest -m long

# The wheel, built, installed into an empty environment, and a copied study run with it: part of test-long.
test-wheel: setup
	.venv/bin/python -m pytest -m long tests/repository/test_wheel.py

# Speed beside what one would use instead, an hour and a half on a machine with nothing else to do -> docs/performance.md
benchmark: setup
	$(UV) pip install --quiet --python .venv/bin/python -c constraints.txt -e '.[dev,benchmark]'
	.venv/bin/python -m tests.benchmarks.speed
	.venv/bin/python -m tests.benchmarks.speed --report

# A minute and a half the first time, then seconds: mypy remembers what it has seen (.mypy_cache).
lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# The answer page of the package's evidence -> docs/answer
answer: setup
	$(BENCH) answer --out docs/answer

# Known vulnerabilities of what constraints.txt pins, by PyPI's records, or AUDIT_SERVICE=osv. --strict: a package that
# the service could not be asked about fails the audit, as does a service that is out of reach.
AUDIT_SERVICE ?= pypi
audit: | $(UV)
	@$(UV) tool run pip-audit -r constraints.txt --disable-pip --no-deps --strict -s $(AUDIT_SERVICE) --progress-spinner off \
	  || { echo "audit: NOT PASSED. Either vulnerabilities are listed above, or $(AUDIT_SERVICE) could not be asked about every package" \
	  "(then nothing is known: run it where the service can be reached)." >&2; exit 1; }

schema: setup
	$(BENCH) schema > studies/study.schema.json

docs: setup
	$(BENCH) strategies --markdown > docs/strategies.md

# New pins: versions only, no addresses.
constraints: | $(UV)
	$(UV) pip compile pyproject.toml --extra dev --extra benchmark --universal --upgrade --no-emit-index-url --no-header --no-annotate -o constraints.txt

clean:
	rm -rf .venv .uv .bench-cache *.egg-info
