#!/usr/bin/env bash
# Set the environment up and run the tests: tools/run_tests.sh [arguments of pytest]
# One process and one thread per core, at most eight, each file in one of them; `-n 0` runs all in one process.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
setup_env dev
cd "$ROOT"
# Cores may be shared: waiting threads sleep instead of spinning, which costs little alone and much less in company.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$PYTHON" -m pytest -n auto --maxprocesses 8 --dist loadfile "$@"
