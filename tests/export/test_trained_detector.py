"""The quickstart's trained detector has the mAP of its weights from files of all sizes of its pictures."""

from pathlib import Path

import pytest

from mmsparseswin.cli import evaluation, run_config
from mmsparseswin.export.sizes import export_sizes
from mmsparseswin.export.subjects import from_config

ROOT = Path(__file__).parents[2]
RUN, DATA = ROOT / 'work_dirs' / 'quickstart', ROOT / 'data' / 'shapes'
WEIGHTS = sorted(RUN.glob('epoch_*.pth'))
SHAPES = [(160, 160), (120, 160), (160, 120)]


@pytest.mark.slow
@pytest.mark.skipif(not (WEIGHTS and DATA.is_dir()), reason='no trained quickstart: bash tools/quickstart.sh makes it')
@pytest.mark.parametrize('format', ['onnx', 'openvino'])
def test_files_have_the_map_of_the_weights(format, tmp_path):
    options = {'data_root': str(DATA), 'test_dataloader.num_workers': 0, 'test_dataloader.persistent_workers': False}
    config = str(ROOT / 'configs' / 'quickstart' / 'cascade_sparseswin_shapes.py')
    weights, images = str(WEIGHTS[-1]), [str(one) for one in sorted((DATA / 'val').iterdir())[:4]]
    subject = from_config(run_config.load_config(config, options), config, weights)
    export_sizes(subject, format, tmp_path / 'files', SHAPES, images=images)
    found = []
    for source in (weights, str(tmp_path / 'files')):
        cfg = run_config.load_config(config, options)
        run_config.set_work_dir(cfg, str(tmp_path / 'run'), config)
        found.append(evaluation.evaluate(cfg, source)[0])
    assert found[0]['coco/bbox_mAP'] > 0.3
    for key in ('coco/bbox_mAP', 'coco/segm_mAP'):
        assert found[1][key] == pytest.approx(found[0][key], abs=2e-3)
