#!/usr/bin/env bash
# From a fresh clone to COCO mAP: environment, embedded data set, training, evaluation, pictures. Takes no arguments.
# What is there already is used again, and an interrupted training goes on. Ends with one line:
#   bbox_mAP=0.xxx segm_mAP=0.xxx pictures=<folder>
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
setup_env
cd "$ROOT"

CONFIG=configs/quickstart/cascade_sparseswin_shapes.py
DATA=data/shapes
WORK=work_dirs/quickstart

"$PYTHON" tools/dataset_tools/draw_shapes.py "$DATA"

# What a training depends on. After a change of it the old results make way, they are not deleted.
settings=$({ find configs -name '*.py' | LC_ALL=C sort | xargs cat; cat "$DATA"/annotations/*.json; } | cksum)
if [[ -e $WORK && $(cat "$WORK/settings" 2>/dev/null) != "$settings" ]]; then
    mv "$WORK" "$WORK.$(date +%Y%m%d-%H%M%S)"
fi
mkdir -p "$WORK"
echo "$settings" >"$WORK/settings"

if [[ ! -e $WORK/finished ]]; then
    bash tools/dist_train.sh "$CONFIG" 1 --work-dir "$WORK" --resume --no-validate
    touch "$WORK/finished"
fi
if [[ ! -e $WORK/metrics.json ]]; then
    rm -rf "$WORK/pictures"
    "$PYTHON" tools/test.py "$CONFIG" "$(cat "$WORK/last_checkpoint")" --work-dir "$WORK" \
        --show-dir "$WORK/pictures" --out "$WORK/metrics.json" --out-item metrics
fi
"$PYTHON" - "$WORK" <<'END'
import json, sys
scores = json.load(open(f'{sys.argv[1]}/metrics.json'))
print(f'bbox_mAP={scores["coco/bbox_mAP"]:.3f} segm_mAP={scores["coco/segm_mAP"]:.3f} pictures={sys.argv[1]}/pictures')
END
