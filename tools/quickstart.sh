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

"$PYTHON" tools/dataset_tools/draw_shapes.py "$DATA" --images 1000 200 --size 160 --seed 0

# What a training depends on. After a change of it the old results make way, they are not deleted.
settings=$({ find configs/quickstart configs/_base_ -name '*.py' | LC_ALL=C sort | xargs cat; cat "$DATA"/annotations/*.json; } | cksum)
if [[ -e $WORK && $(cat "$WORK/settings" 2>/dev/null) != "$settings" ]]; then
    mv "$WORK" "$WORK.$(date +%Y%m%d-%H%M%S)"
fi
mkdir -p "$WORK"
echo "$settings" >"$WORK/settings"

if [[ ! -e $WORK/finished ]]; then
    # Batches of 8: one GPU, or two processes of 4 where there is none (two cores serve two processes better than one).
    processes=2 batch=4
    if "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then processes=1 batch=8; fi
    bash tools/dist_train.sh "$CONFIG" $processes --work-dir "$WORK" --resume --no-validate \
        --cfg-options train_dataloader.batch_size=$batch
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
