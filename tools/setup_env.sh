# Sourced: `setup_env [extra ...]` makes the environment of this clone (.venv) what uv.lock says and sets ROOT and PYTHON.
# Minutes the first time (mmcv compiles its operators against torch), a second when everything is in place.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
UV_OWN=$ROOT/.cache/uv # where uv goes if the machine has none
UV_OLDEST=0.9.0        # understands extra-build-dependencies with match-runtime

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

setup_env() {
    local extra options=()
    for extra in "$@"; do options+=(--extra "$extra"); done
    find_uv
    # --inexact keeps what other extras have installed before.
    if ! (cd "$ROOT" && unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT && "$UV" sync --frozen --inexact ${options[@]+"${options[@]}"} </dev/null >&2); then
        echo 'error: the environment could not be set up (output above); it needs network, 12 GB of disk and a C++ compiler' \
            '(apt-get install build-essential python3-dev)' >&2
        exit 2
    fi
    PYTHON=$ROOT/.venv/bin/python
    export PYTHON
}
