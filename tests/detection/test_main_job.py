"""Test a slim main detector: gradients, images without objects, odd sizes, several processes."""

import copy
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/quickstart/cascade_sparseswin_smoke.py'


def config(shapes: Path) -> Config:
    cfg = Config.fromfile(CONFIG)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(shapes)
    init_default_scope('mmdet')
    return cfg


def detector(cfg: Config):
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    return model.train()


def loss_of(model, samples) -> torch.Tensor:
    data = model.data_preprocessor(pseudo_collate(samples), True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    return loss


@pytest.fixture
def samples(shapes):
    cfg = config(shapes)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    return [dataset[i] for i in range(len(dataset))]


def test_every_parameter_of_the_detector_gets_a_gradient(shapes, samples):
    model = detector(config(shapes))
    loss_of(model, [s for s in samples if len(s['data_samples'].gt_instances)][:4]).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert [n for n, p in model.backbone.named_parameters() if not p.grad.any()] == []


def test_a_batch_without_any_object_trains(shapes, samples):
    model = detector(config(shapes))
    empty = []
    for sample in copy.deepcopy(samples[:2]):
        truth = sample['data_samples'].gt_instances
        sample['data_samples'].gt_instances = truth[torch.zeros(len(truth), dtype=torch.bool)]
        empty.append(sample)
    loss = loss_of(model, empty)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert model.backbone.patch_embed.proj.weight.grad.any()


@pytest.mark.parametrize('size', [(31, 47), (333, 200)])
def test_images_of_odd_sizes_are_predicted(shapes, samples, size):
    model = detector(config(shapes)).eval()
    sample = copy.deepcopy(samples[0])
    sample['inputs'] = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    sample['data_samples'].set_metainfo(dict(img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
    with torch.no_grad():
        (result,) = model.test_step(pseudo_collate([sample]))
    assert result.pred_instances.masks.shape[1:] == size
    assert result.pred_instances.bboxes[:, 2].max() <= size[1]


GRADIENTS = """
import sys, torch
sys.path.insert(0, {tests!r})
from mmengine.dataset import pseudo_collate
from mmengine.model import MMDistributedDataParallel
from mmsparseswin.cli import leave_group
from test_main_job import balanced
torch.distributed.init_process_group('gloo')
model, samples = balanced({shapes!r})
rank = torch.distributed.get_rank()
ddp = MMDistributedDataParallel(model, broadcast_buffers=False)
data = model.data_preprocessor(pseudo_collate([samples[rank]]), True)
loss, _ = model.parse_losses(ddp(**data, mode='loss'))
loss.backward()
if rank == 0:
    torch.save({{n: p.grad for n, p in model.named_parameters()}}, {out!r})
leave_group()
"""


def balanced(shapes):
    """Return the detector and two images with equal counts in every average of a loss, as a mean over processes needs.

    Both images carry the same boxes; only these count as positive, and as many proposals are kept for each.
    """
    cfg = config(Path(shapes))
    cfg.model.train_cfg.rpn_proposal.update(nms=dict(type='nms', iou_threshold=1.0), nms_pre=12, max_per_img=12)
    for stage in cfg.model.train_cfg.rcnn:
        stage.assigner.update(pos_iou_thr=0.999, neg_iou_thr=0.999, min_pos_iou=0.999)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    by_size: dict = {}
    for i in range(len(dataset)):
        sample = dataset[i]
        by_size.setdefault(sample['inputs'].shape, []).append(sample)
    first, second = next(group[:2] for group in by_size.values() if len(group) > 1)
    if not len(first['data_samples'].gt_instances):
        first, second = second, first
    second['data_samples'] = copy.deepcopy(first['data_samples'])
    return detector(cfg), [first, second]


def test_two_processes_of_one_image_give_the_gradients_of_one_of_two(shapes, tmp_path):
    model, samples = balanced(shapes)
    loss_of(model, samples).backward()
    out = tmp_path / 'gradients.pth'
    script = tmp_path / 'worker.py'
    script.write_text(GRADIENTS.format(tests=str(Path(__file__).parent), shapes=str(shapes), out=str(out)))
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    subprocess.run(
        [sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2', f'--master-port={port}', str(script)],
        check=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )
    distributed = torch.load(out)
    largest = max(p.grad.abs().max() for p in model.parameters())
    for name, p in model.named_parameters():
        # Some gradients are rounding alone: a bias on all channels of a token is taken off by the next layer norm.
        torch.testing.assert_close(distributed[name], p.grad, rtol=1e-3, atol=1e-6 * float(largest), msg=name)


def test_the_learning_rate_groups_spare_norms_and_tables(shapes):
    cfg = config(shapes)
    main = Config.fromfile(ROOT / 'configs/cascade_sparseswin_coco.py')
    model = detector(cfg)
    wrapper = Runner.build_optim_wrapper(type('R', (), {'model': model})(), main.optim_wrapper)
    decay = {id(p): g['weight_decay'] for g in wrapper.optimizer.param_groups for p in g['params']}
    for name, p in model.backbone.named_parameters():
        expected = 0.0 if 'norm' in name or 'relative_position_bias_table' in name else 0.05
        assert decay[id(p)] == expected, name
