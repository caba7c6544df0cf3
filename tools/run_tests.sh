#!/usr/bin/env bash
# Set the environment up and run the tests: tools/run_tests.sh [arguments of pytest]
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
setup_env dev
cd "$ROOT"
exec "$PYTHON" -m pytest "$@"
