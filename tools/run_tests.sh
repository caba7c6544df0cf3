#!/usr/bin/env bash
# Set the environment up and run the tests: tools/run_tests.sh [arguments of pytest]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
setup_env dev
cd "$ROOT"
# Cores may be shared: waiting threads sleep instead of spinning, which costs little alone and much less in company.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
exec "$PYTHON" -m pytest "$@"
