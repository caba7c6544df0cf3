#!/usr/bin/env bash
# Try the wheel of this clone on other stacks: one environment after the other, a fast part of the tests in each.
#   tools/dev/test_matrix.sh            all rows below
#   tools/dev/test_matrix.sh oldest     some of them
# Prints a table for docs/install.md; what was installed and printed stays in work_dirs/test_matrix/NAME.log. An
# environment with a CUDA build of torch takes 7 GB, so each is deleted, its downloads too, before the next one is made.
set -uo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../setup_env.sh"
find_uv
cd "$ROOT"

# name, Python, how uv resolves, further requirements
ROWS=(
    "oldest|3.10|lowest-direct|"
    "torch-2.7|3.11|highest|torch==2.7.* numpy==1.26.*"
    "torch-2.9|3.12|highest|torch==2.9.*"
    "lock|3.11|lock|"
    "torch-2.12|3.13|highest|torch==2.12.*"
    "newest-3.10|3.10|highest|"
    "newest|3.13|highest|"
)
TESTS=(tests/layers tests/backbones/test_registration.py tests/tools/test_train_and_test.py)
# Of the tests that import everything in a fresh process one is enough.
CHOICE='not test_registration or scoped_names_need_no_import[mmdet]'
OUT=$ROOT/work_dirs/test_matrix
WORK=$(mktemp -d "${TMPDIR:-/tmp}/mmsparseswin-matrix.XXXXXX")
trap 'rm -rf "$WORK"' EXIT
mkdir -p "$OUT"
export UV_CACHE_DIR=$WORK/cache UV_LINK_MODE=hardlink PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
unset VIRTUAL_ENV UV_PROJECT_ENVIRONMENT PYTHONPATH
for folder in "$HOME"/.pyenv/versions/*/bin; do [[ -d $folder ]] && PATH=$PATH:$folder; done # where uv may find Pythons

# The overrides of [tool.uv], which `uv pip` does not read.
printf "%s; sys_platform == 'never'\n" opencv-python opencv-python-headless >"$WORK/overrides"
"$UV" build --quiet --wheel --out-dir "$WORK/dist" || exit 2
WHEEL=$(echo "$WORK"/dist/*.whl)

# install PYTHON RESOLUTION REQUIREMENT ...: makes $WORK/env
install() {
    local python=$1 resolution=$2
    shift 2
    if [[ $resolution == lock ]]; then
        UV_PROJECT_ENVIRONMENT=$WORK/env "$UV" sync --frozen --no-editable --python "$python" &&
            "$UV" pip install --python "$WORK/env" pytest pytest-timeout
    else
        "$UV" venv --python "$python" "$WORK/env" &&
            "$UV" pip install --python "$WORK/env" --override "$WORK/overrides" --resolution "$resolution" \
                -r pyproject.toml "$WHEEL" 'pytest>=8.3' 'pytest-timeout>=2.3' "$@"
    fi
}

version() { "$WORK/env/bin/python" -c "from importlib.metadata import version; print(version('$1'))"; }

status=0
table='| environment | Python | torch | torchvision | numpy | OpenCV | tests | minutes | date |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |'
for row in "${ROWS[@]}"; do
    IFS='|' read -r name python resolution more <<<"$row"
    [[ $# == 0 || " $* " == *" $name "* ]] || continue
    log=$OUT/$name.log
    echo "$name ..." >&2
    SECONDS=0
    # shellcheck disable=SC2086
    if install "$python" "$resolution" $more >"$log" 2>&1 </dev/null; then
        "$UV" pip list --python "$WORK/env" >>"$log" 2>/dev/null
        # pytest itself, not `python -m pytest`, which would put the clone before the wheel.
        "$WORK/env/bin/pytest" -q -p no:cacheprovider -W ignore "${TESTS[@]}" -k "$CHOICE" >>"$log" 2>&1 </dev/null || status=1
        result=$(grep -E '^[0-9]+ (passed|failed)|^no tests|^ERROR|error' "$log" | tail -1 | sed 's/ in .*//')
    else
        status=1
        result='could not be installed'
    fi
    row="| $name | $(version mmsparseswin >/dev/null && "$WORK/env/bin/python" -c 'import platform; print(platform.python_version())')"
    for package in torch torchvision numpy opencv-contrib-python-headless; do row+=" | $(version $package)"; done
    table+=$'\n'"$row | $result | $(((SECONDS + 30) / 60)) | $(date +%F) |"
    rm -rf "$WORK/env" "$WORK/cache"
done
echo "$table" | tee "$OUT/table.md"
exit $status
