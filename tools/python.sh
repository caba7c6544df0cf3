# Sourced by the scripts of this folder: sets ROOT and PYTHON (yours if set, an active environment's, this clone's .venv).
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [[ -z ${PYTHON:-} ]]; then
    if [[ -n ${VIRTUAL_ENV:-}${CONDA_PREFIX:-} ]] && command -v python >/dev/null; then
        PYTHON=python
    elif [[ -x $ROOT/.venv/bin/python ]]; then
        PYTHON=$ROOT/.venv/bin/python
    else
        PYTHON=$(command -v python3 || command -v python) || { echo 'error: no python found' >&2; exit 2; }
    fi
fi
export PYTHONPATH="$ROOT${PYTHONPATH:+:$PYTHONPATH}"
