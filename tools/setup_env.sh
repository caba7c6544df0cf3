# The environment of this clone (.venv) as uv.lock says; no compiler is needed.
#   source tools/setup_env.sh; setup_env [extra ...]          sets ROOT and PYTHON
#   bash tools/setup_env.sh [--compiled-ops] [extra ...]      the same from the command line
# --compiled-ops compiles mmcv's own operators against this environment's torch: about 12 minutes on 2 cores and a C++
# compiler; with a GPU FORCE_CUDA=1 and the nvcc of torch.version.cuda. They win over the ones made of torchvision, and
# later set-ups keep them as long as the versions of torch and mmcv stay.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
UV_OWN=$ROOT/.cache/uv # where uv goes if the machine has none
UV_OLDEST=0.9.0

is_good_uv() {
    local version
    version=$("$1" --version 2>/dev/null </dev/null | awk '{print $2}') && [[ -n $version ]] || return 1
    [[ $(printf '%s\n' "$UV_OLDEST" "$version" | sort -V | head -n 1) == "$UV_OLDEST" ]]
}

# Sets UV; an environment of its own first, so that nothing of the user's Python changes.
find_uv() {
    local candidate
    for candidate in uv "$HOME/.local/bin/uv" "$UV_OWN/bin/uv"; do
        is_good_uv "$candidate" && UV=$candidate && return
    done
    echo 'Installing uv, the package manager ...' >&2
    UV=$UV_OWN/bin/uv
    { python3 -m venv "$UV_OWN" && "$UV_OWN/bin/python" -m pip install --quiet --upgrade uv; } </dev/null >&2 || true
    is_good_uv "$UV" && return
    python3 -m pip install --quiet --upgrade --target "$UV_OWN" uv </dev/null >&2 || true # a Python without ensurepip
    is_good_uv "$UV" && return
    { curl -LsSf https://astral.sh/uv/install.sh | UV_INSTALL_DIR=$UV_OWN/bin UV_NO_MODIFY_PATH=1 sh; } </dev/null >&2 || true
    is_good_uv "$UV" && return
    echo "error: uv >= $UV_OLDEST is missing and could not be installed; try: python3 -m pip install --upgrade uv" >&2
    exit 2
}

# uv for this clone's .venv, whatever environment the caller has activated.
run_uv() (
    cd "$ROOT" && unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT && "$UV" "$@" </dev/null >&2
)

setup_env() {
    local extra options=()
    for extra in "$@"; do options+=(--extra "$extra"); done
    find_uv
    # --inexact keeps what other extras have installed before.
    if ! run_uv sync --frozen --inexact ${options[@]+"${options[@]}"}; then
        echo 'error: the environment could not be set up (output above); it needs a package index and 8 GB of disk' >&2
        exit 2
    fi
    PYTHON=$ROOT/.venv/bin/python
    export PYTHON
}

# Replaces the pure onedl-mmcv of .venv by one of the same version that is compiled there.
compile_ops() {
    local version
    version=$("$PYTHON" -c 'from importlib.metadata import version; print(version("onedl-mmcv"))')
    # Without build isolation the operators compile against the torch that will load them. The wheel is not cached: a
    # cached one would be taken for another torch, or for the pure one.
    if ! run_uv pip install --python "$PYTHON" 'setuptools>=80' wheel ninja psutil packaging ||
        ! MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc 2>/dev/null || sysctl -n hw.ncpu)} run_uv pip install \
            --python "$PYTHON" --no-deps --no-cache --no-build-isolation --reinstall --no-binary onedl-mmcv "onedl-mmcv==$version"; then
        echo 'error: the operators of mmcv could not be compiled (output above); it needs a C++ compiler' \
            '(apt-get install build-essential python3-dev), with FORCE_CUDA=1 the nvcc of torch.version.cuda too' >&2
        exit 2
    fi
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    set -euo pipefail
    compiled=false extras=()
    for argument in "$@"; do
        case $argument in
            --compiled-ops) compiled=true ;;
            -*) echo "error: unknown option $argument; usage: bash tools/setup_env.sh [--compiled-ops] [extra ...]" >&2 && exit 2 ;;
            *) extras+=("$argument") ;;
        esac
    done
    setup_env ${extras[@]+"${extras[@]}"}
    if $compiled; then compile_ops; fi
    "$PYTHON" -m mmsparseswin.doctor
fi
