"""A tiny SparseSwin classifier through the tools: train, test, predict, extract, compare, hand over to detectors."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS as DETECTORS
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS as CLASSIFIERS
from PIL import Image

from mmsparseswin.cli.run_config import set_epochs, set_pretrained
from mmsparseswin.errors import InputError

ROOT = Path(__file__).parents[2]
ARCH = dict(
    embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 4), num_tokens=9, token_dims=32, token_heads=4, token_depth=1
)
CLASSIFIER = """
_base_ = '{root}/configs/experiments/swinvit_cifar10-1h.py'
data_root = '{data}'
model = dict(
    backbone=dict(_delete_=True, type='mmsparseswin.SparseSwin', arch={arch}, img_size=32, patch_size=4,
                  out_type='avg_featmap', window_size=4, mlp_ratio=2.0),
    head=dict(num_classes=2, in_channels=32, topk=(1, 2)),
)
data_preprocessor = dict(num_classes=2, mean=[0, 0, 0], std=[255, 255, 255])
test_pipeline = [dict(type='Resize', scale=(32, 32)), dict(type='PackInputs')]
dataset = dict(data_root=data_root, pipeline=test_pipeline)
train_dataloader = dict(batch_size=8, num_workers=0, dataset=dataset)
val_dataloader = dict(num_workers=0, dataset=dataset)
test_dataloader = val_dataloader
val_evaluator = [dict(type='Accuracy', topk=(1,)), dict(type='mmsparseswin.ConfusionMatrix')]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=3e-3))
penalty = dict(type='mmsparseswin.AttentionPenaltyHook', loss=dict(form='entropy', loss_weight=0.1))
ema = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=1e-3, gamma=100, priority='ABOVE_NORMAL')
custom_hooks = [ema, dict(type='mmsparseswin.ClassifierPicturesHook'), penalty]
default_hooks = dict(logger=dict(interval=1))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""


class Trained(NamedTuple):
    folder: Path
    config: Path
    checkpoint: Path
    out: str


@pytest.fixture(scope='module')
def trained(tools, tmp_path_factory) -> Trained:
    """A classifier that tells red from blue."""
    folder = tmp_path_factory.mktemp('colours')
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 48)
    images = rng.integers(0, 60, (48, 32, 32, 3), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[..., 2 * label] += 190  # red is class 0, blue class 2 // 2
    for split in ('train', 'test'):
        sheet = images.reshape(6, 8, 32, 32, 3).swapaxes(1, 2).reshape(6 * 32, 8 * 32, 3)
        Image.fromarray(sheet).save(folder / f'{split}.webp', lossless=True)
        meta = {'n': 48, 'cols': 8, 'classes': ['red', 'blue'], 'labels': labels.tolist()}
        (folder / f'{split}.json').write_text(json.dumps(meta))
    (folder / 'photos' / 'sub').mkdir(parents=True)
    for name, colour in (('red', (230, 20, 30)), ('sub/blue', (30, 20, 230))):
        Image.new('RGB', (50, 40), colour).save(folder / 'photos' / f'{name}.png')
    config = folder / 'colours.py'
    config.write_text(CLASSIFIER.format(root=ROOT, data=folder, arch=ARCH))
    result = tools.run('train.py', config, '--work-dir', 'run', '--epochs', 4, '--max-minutes', 5, cwd=folder)
    assert result.code == 0, result.err
    return Trained(folder, config, folder / 'run' / 'epoch_4.pth', result.out)


def test_training_leaves_scores_matrix_and_curve(trained):
    assert 'loss_attention: ' in trained.out
    assert 'minutes: ' in trained.out
    assert 'accuracy/top1: 100.0' in trained.out
    matrix = json.loads((trained.folder / 'run' / 'confusion_matrix.json').read_text())
    assert np.sum(matrix['matrix']) == 48
    assert np.trace(matrix['matrix']) == 48
    for name in ('confusion_matrix.png', 'curve.png'):
        assert Image.open(trained.folder / 'run' / name).width > 300


def test_testing_writes_the_matrix_too(tools, trained, tmp_path):
    result = tools.run('test.py', trained.config, trained.checkpoint, '--work-dir', 'out', cwd=tmp_path)
    assert result.code == 0, result.err
    assert 'accuracy/top1: 100.0' in result.out
    assert (tmp_path / 'out' / 'confusion_matrix.json').is_file()


def test_pictures_are_predicted_in_the_colours_of_the_training(tools, trained, tmp_path):
    result = tools.run('predict.py', trained.config, trained.checkpoint, trained.folder / 'photos', cwd=tmp_path)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / 'predictions' / 'predictions.json').read_text())
    assert {one['file_name']: one['class'] for one in found} == {'red.png': 'red', 'sub/blue.png': 'blue'}
    assert (tmp_path / 'predictions' / 'pictures' / 'sub' / 'blue.png').is_file()


def test_features_and_attention_of_a_folder(tools, trained, tmp_path):
    tool = 'analysis_tools/extract_features.py'
    result = tools.run(tool, trained.config, trained.checkpoint, trained.folder / 'photos', cwd=tmp_path)
    assert result.code == 0, result.err
    found = np.load(tmp_path / 'features' / 'features.npz')
    assert found['files'].tolist() == ['red.png', 'sub/blue.png']
    assert found['features'].shape == (2, 32)
    state = torch.load(trained.checkpoint, map_location='cpu', weights_only=False)['state_dict']
    logits = found['features'] @ state['head.fc.weight'].numpy().T + state['head.fc.bias'].numpy()
    assert logits.argmax(1).tolist() == [0, 1]
    assert Image.open(tmp_path / 'features' / 'attention' / 'sub' / 'blue.png.png').width > 300


def test_a_classifier_starts_the_main_detector_and_an_ssd(tools, trained, tmp_path, shapes):
    config = ROOT / 'configs/quickstart/cascade_sparseswin_smoke.py'
    options = ['--pretrained', trained.checkpoint, '--epochs', 1, '--no-validate']
    result = tools.run('train.py', config, *options, '--cfg-options', f'data_root={shapes}/', cwd=tmp_path)
    assert result.code == 0, result.err
    assert f'SparseSwin from {trained.checkpoint}' in result.out
    (report,) = re.findall(r'source mmsparseswin: .*', result.out)
    # Patches, stages, tokens: all but the norms and the way back to a map, which a classifier does not have.
    assert re.search(r'\d+ matched, \d+ missing, 0 unexpected, 4 resized, 2 dropped', report), report


def test_configs_are_compared_on_equal_budgets(tools, trained, tmp_path):
    twin = tmp_path / 'twin.py'
    twin.write_text(f"_base_ = '{trained.config}'\n")
    arguments = ['experiments/equal_budget.py', trained.config, twin, '--out-dir', 'out']
    result = tools.run(*arguments, '--minutes', 5, '--epochs', 2, cwd=tmp_path)
    assert result.code == 0, result.err
    runs = json.loads((tmp_path / 'out' / 'results.json').read_text())['runs']
    assert list(runs) == ['colours', 'twin']
    init_default_scope('mmpretrain')
    model = CLASSIFIERS.build(Config.fromfile(trained.config).model)
    for run in runs.values():
        assert (run['epochs'], run['iterations']) == (2, 12)
        assert run['parameters'] == sum(p.numel() for p in model.parameters())
        assert run['images_per_second'] > 0 < run['images_per_second, in turns']
        assert 0 <= run['accuracy/top1'] <= run['accuracy/top1, best'] <= 100
    assert Image.open(tmp_path / 'out' / 'curves.png').width > 300

    again = tools.run(*arguments, '--minutes', 5, cwd=tmp_path)
    assert again.code == 2
    assert 'out is not empty: choose a new --out-dir' in again.errors[0]
    short = tools.run(*arguments[:-1], 'short', '--minutes', 1e-5, cwd=tmp_path)
    assert short.code == 2
    assert 'more than the budget of 1e-05' in short.errors[0]


@pytest.mark.slow
def test_a_pretrained_detector_is_compared_with_one_from_scratch(tools, trained, tmp_path):
    detector = ROOT / 'configs/quickstart/cascade_sparseswin_smoke.py'
    arguments = ['--classifier', trained.config, '--detector', detector, '--shapes', 'shapes', '--images', 8, 4]
    arguments += ['--minutes', 0.2, '--detector-epochs', 1, '--out-dir', 'out']
    result = tools.run('experiments/pretrain_then_detect.py', *arguments, cwd=tmp_path)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / 'out' / 'results.json').read_text())
    assert found['classifier']['accuracy/top1'] == 100
    assert list(found['runs']) == ['pretrained', 'scratch']
    assert all('coco/bbox_mAP' in run for run in found['runs'].values())
    logs = {name: next((tmp_path / 'out' / name).glob('*/*.log')).read_text() for name in found['runs']}
    assert '4 resized, 2 dropped' in logs['pretrained']
    assert 'resized' not in logs['scratch']
    assert Image.open(tmp_path / 'out' / 'curves.png').width > 300


def test_pretrained_finds_the_innermost_backbone():
    backbone = dict(type='mmsparseswin.SparseSwin', arch='tiny', init_cfg=None)
    cfg = Config(dict(model=dict(type='SSD', backbone=dict(type='mmsparseswin.SixMapBackbone', backbone=backbone))))
    set_pretrained(cfg, 'a.pth')
    assert cfg.model.backbone.backbone.init_cfg == dict(type='Pretrained', checkpoint='a.pth')
    main = Config.fromfile(ROOT / 'configs/cascade_sparseswin_coco.py')
    set_pretrained(main, 'a.pth')
    assert main.model.backbone.init_cfg.checkpoint == 'a.pth'
    with pytest.raises(InputError, match=r'model.backbone is ResNet'):
        set_pretrained(Config(dict(model=dict(type='RetinaNet', backbone=dict(type='ResNet', depth=50)))), 'a.pth')


def test_epochs_stretch_every_schedule():
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=200),
            param_scheduler=[
                dict(type='LinearLR', by_epoch=True, end=10, convert_to_iter_based=True),
                dict(type='CosineAnnealingLR', begin=10, end=200, T_max=190, convert_to_iter_based=True),
                dict(type='MultiStepLR', milestones=[100, 150], by_epoch=True),
                dict(type='LinearLR', by_epoch=False, begin=0, end=500),
            ],
        )
    )
    set_epochs(cfg, 20)
    warm_up, cosine, steps, iterations = cfg.param_scheduler
    assert (cfg.train_cfg.max_epochs, warm_up.end, cosine.begin, cosine.end, cosine.T_max) == (20, 1, 1, 20, 19)
    assert steps.milestones == [10, 15]
    assert iterations.end == 500
    set_epochs(cfg, 2)
    assert warm_up.end == cosine.begin == 0.25  # long enough to warm up
    assert cosine.T_max == 1.75
    for bad in (0, -1):
        with pytest.raises(InputError, match='must be at least 1'):
            set_epochs(cfg, bad)
    with pytest.raises(InputError, match='max_epochs'):
        set_epochs(Config(dict(train_cfg=ConfigDict(max_iters=10))), 2)


PRETRAINED_DETECTORS = [  # a classifier's backbone, a detector's config, and where its backbone of ours is
    (dict(type='mmsparseswin.SparseSwin', arch='tiny'), 'cascade_sparseswin_coco', 'backbone'),
    (
        dict(type='mmsparseswin.SparseSwin', arch='tiny', img_size=160),
        'ssd/ssd_sparseswin-t_fpn_coco',
        'backbone.backbone',
    ),
    (
        dict(type='mmsparseswin.Swin', arch='tiny', img_size=32, window_size=4),
        'ssd/ssd_swin-t-b_none_coco',
        'backbone.backbone',
    ),
    (dict(type='mmsparseswin.STViTR', arch='tiny'), 'stvit_r/mask-rcnn_stvit-r-t_fpn_1x_coco', 'backbone'),
]


@pytest.mark.parametrize(
    ('backbone', 'config', 'place'), PRETRAINED_DETECTORS, ids=[config for _, config, _ in PRETRAINED_DETECTORS]
)
def test_classifiers_of_every_kind_start_the_shipped_detectors(backbone, config, place, tmp_path):
    path = ROOT / f'configs/{config}.py'
    if not path.is_file():
        pytest.skip(f'no {config}')
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    head = dict(type='LinearClsHead', num_classes=10, in_channels=512 if 'Sparse' in backbone['type'] else 768)
    classifier = CLASSIFIERS.build(
        dict(type='ImageClassifier', backbone=dict(backbone, out_type='avg_featmap'), head=head)
    )
    # As mmengine saves it: meta and optimizer beside the weights.
    checkpoint = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta=dict(epoch=1), state_dict=classifier.state_dict(), message_hub={}, optimizer={}), checkpoint)
    cfg = Config.fromfile(path)
    set_pretrained(cfg, str(checkpoint))
    init_default_scope('mmdet')
    holder = torch.nn.Module()
    holder.backbone = DETECTORS.build(cfg.model.backbone)
    holder.backbone.init_weights()
    theirs = holder.get_submodule(place).state_dict()
    ours = classifier.backbone.state_dict()
    same = [name for name, tensor in theirs.items() if name in ours and torch.equal(ours[name], tensor)]
    # Block by block: nothing of the stages that both have is left at random but what is resized.
    blocks = [name for name in theirs if '.blocks.' in name and name in ours and 'bias_table' not in name]
    assert len(blocks) > 100
    assert set(blocks) <= set(same)
    assert 'patch_embed.norm.weight' in same or 'patch_embed.bn1.weight' in same


def test_a_classifier_trains_and_predicts_where_mmdet_and_compiled_operators_are_missing(trained, tmp_path):
    code = """
import runpy, sys
for name in ('mmdet', 'mmcv._ext'):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name='__main__')
"""
    for tool, *arguments in (
        ['train.py', trained.config, '--epochs', '1', '--work-dir', tmp_path / 'run'],
        ['predict.py', trained.config, trained.checkpoint, trained.folder / 'photos', '--out-dir', tmp_path / 'found'],
    ):
        command = [sys.executable, '-c', code, ROOT / 'tools' / tool, *arguments]
        done = subprocess.run(command, cwd=trained.folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()
