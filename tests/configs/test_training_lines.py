"""Test what one or two lines add to a training: layer decay, early stopping, averaged weights, trackers."""

from pathlib import Path

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[2]


def test_the_config_with_layer_decay_learns_slower_near_the_image():
    init_default_scope('mmdet')
    cfg = Config.fromfile(ROOT / 'configs/experiments/cascade-mask-rcnn_sparseswin-t_fpn_layer-decay-1x_coco.py')
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    wrapper = cfg.optim_wrapper
    wrapper.update(type='OptimWrapper')
    wrapper.pop('precision')
    groups = build_optim_wrapper(model, wrapper).optimizer.param_groups
    rate = {id(group['params'][0]): group['lr'] for group in groups}
    rates = {name: rate[id(parameter)] for name, parameter in model.named_parameters()}
    # Patch embedding, 2 + 2 + 6 Swin blocks, 2 token blocks: 13 layers and the head.
    assert rates['backbone.patch_embed.proj.weight'] == pytest.approx(1e-4 * 0.9**13)
    assert rates['backbone.stages.0.blocks.0.attn.qkv.weight'] == pytest.approx(1e-4 * 0.9**12)
    assert rates['roi_head.bbox_head.0.fc_cls.weight'] == pytest.approx(1e-4)


@pytest.mark.parametrize('name', ['wandb', 'mlflow'])
def test_a_tracker_is_a_second_base_and_one_line(name, tmp_path):
    bases = ['mmsparseswin::quickstart/cascade_sparseswin_shapes.py', f'mmsparseswin::_base_/visualizers/{name}.py']
    line = f'visualizer = dict(vis_backends=_base_.{name}_backends)'
    (tmp_path / 'mine.py').write_text(f'_base_ = {bases}\n{line}\n')
    cfg = Config.fromfile(tmp_path / 'mine.py')
    kinds = [backend.type for backend in cfg.visualizer.vis_backends]
    assert kinds[:2] == ['LocalVisBackend', 'TensorboardVisBackend']
    assert kinds[2].lower() == f'{name}visbackend'
    assert cfg.visualizer.type == 'DetLocalVisualizer'
