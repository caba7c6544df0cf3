"""Compute COCO mAP by the fastest installed evaluator; write predictions with the original ids."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmdet.evaluation import CocoMetric as PlainCocoMetric
from mmdet.evaluation import FasterCocoMetric

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.registry import METRICS

# Both give the same mAP; faster-coco-eval takes under half the time but is compiled and may be missing.
_Base: Any = FasterCocoMetric if find_spec('faster_coco_eval') else PlainCocoMetric


@METRICS.register_module()
class CocoMetric(_Base):
    """mmdet's metric, with original ids in prediction files where ids of images or categories were repaired."""

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Score all `results`, see mmdet; a repaired annotation file holds the old ids as ``original_id``."""
        scores = super().compute_metrics(results)
        originals = {
            field: {record['id']: record['original_id'] for record in records if 'original_id' in record}
            for field, records in (
                ('image_id', self._coco_api.dataset.get('images', [])),
                ('category_id', self._coco_api.dataset.get('categories', [])),
            )
        }
        if self.outfile_prefix and any(originals.values()):
            for kind in ('bbox', 'segm'):
                restore_ids(Path(f'{self.outfile_prefix}.{kind}.json'), originals)
        return scores


def restore_ids(path: Path, originals: dict[str, dict[int, Any]]) -> None:
    """Replace ids in the prediction file `path`, if there is one: field -> new id -> original id."""
    if not path.is_file():
        return
    records = json.loads(path.read_bytes())
    for record in records:
        for field, ids in originals.items():
            record[field] = ids.get(record[field], record[field])
    write_atomically(path, json.dumps(records).encode())
