"""Test that a detector runs whole in a benchmark: as many boxes as a test allows, and losses that train every part."""

import pytest
import torch

from mmsparseswin.benchmark.cases import build, parse_cases
from mmsparseswin.benchmark.comparison import Settings, prepare, records
from mmsparseswin.benchmark.sizes import Size
from mmsparseswin.errors import InputError

CONFIG = 'configs/quickstart/cascade_sparseswin_smoke.py'


def test_a_detector_predicts_and_trains_on_the_same_numbers_each_time():
    model, x = build(CONFIG, Size(2, 96, 128), 'whole').eval(), torch.randn(2, 3, 96, 128)
    with torch.no_grad():
        first, again = model(x), model(x)
    assert len(first) == 6  # boxes, scores and labels of two images
    boxes, scores, labels = first[:3]
    assert len(boxes) == len(scores) == len(labels) > 0
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    model.train()
    (loss,), (same,) = model(x), model(x)
    assert loss.shape == (1,)
    assert loss.item() == pytest.approx(same.item(), rel=1e-5)
    loss.sum().backward()
    trained = {name.split('.')[1] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert trained >= {'backbone', 'neck', 'rpn_head', 'roi_head'}


@pytest.mark.parametrize(
    ('config', 'baseline'),
    [(CONFIG, False), ('configs/experiments/cascade-mask-rcnn_mmdet-swin-t_fpn_1x_coco.py', True)],
)
def test_a_config_of_other_libraries_parts_alone_is_a_baseline(config, baseline):
    size, settings = Size(1, 64, 96), Settings(output='whole')
    entry = prepare(parse_cases(config, ['fp32'])[0], size, settings, count=False)
    entry.times.append(1.0)
    assert records([entry], settings, {'float32 mm': [1.0]}, {})[0]['baseline'] is baseline
    model = entry.model
    with torch.no_grad():
        boxes, scores, labels = model(torch.randn(1, 3, 64, 96))
    assert len(boxes) == len(scores) == len(labels) > 0


@pytest.mark.parametrize('name', ['swin-tiny', 'configs/swin/swin-t_16xb64_in1k.py'])
def test_only_detectors_run_whole(name):
    with pytest.raises(InputError, match='--output whole'):
        build(name, Size(1, 64, 64), 'whole')
