#!/usr/bin/env bash
# From a fresh clone to COCO mAP: environment, embedded data set, training, evaluation, pictures. Takes no arguments.
# What is there already is used again, and an interrupted training goes on. Ends with one line:
#   bbox_mAP=0.xxx segm_mAP=0.xxx pictures=<folder>
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
setup_env
cd "$ROOT"

exec "$PYTHON" tools/quickstart.py
