"""Sharded training (FSDP) on two CPU processes: the numbers of DDP, and a checkpoint that a plain model loads."""

import json
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

ROOT = Path(__file__).parents[2]
TWIN = ROOT / 'configs/quickstart/cascade_swin_fsdp-smoke.py'
# Clipping by the norm of all gradients and rates by name and depth would differ if a shard were taken for the whole.
OPTIONS = """
optim_wrapper = dict(constructor='mmsparseswin.DecayConstructor', paramwise_cfg=dict(layer_decay=0.8),
                     clip_grad=dict(max_norm=0.5), optimizer=dict(weight_decay=0.5))
param_scheduler = [dict(type='MultiStepLR', by_epoch=True, begin=0, end=2, milestones=[1], gamma=0.5)]
default_hooks = dict(checkpoint=dict(save_best=None))
"""


class Run(NamedTuple):
    code: int
    log: str
    folder: Path

    @property
    def scalars(self) -> list[dict]:
        """Lines of the log in JSON, of the newest run in the folder."""
        newest = max(self.folder.glob('*/vis_data/scalars.json'), key=os.path.getmtime)
        return [json.loads(line) for line in newest.read_text().splitlines()]

    @property
    def losses(self) -> list[float]:
        return [line['loss'] for line in self.scalars if 'loss' in line]

    def weights(self, epoch: int) -> dict[str, torch.Tensor]:
        content = torch.load(self.folder / f'epoch_{epoch}.pth', map_location='cpu', weights_only=False)
        return content['state_dict']


def launch(folder: Path, config: Path, *options: object, processes: int = 2) -> Run:
    env = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'}
    command = [ROOT / 'tools/dist_train.sh', config, processes, '--work-dir', folder, '--no-amp', *options]
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, timeout=550)
    return Run(done.returncode, done.stdout + done.stderr, folder)


def write(folder: Path, shapes: Path, extra: str = '') -> Path:
    path = folder / 'detector.py'
    text = TWIN.read_text().replace('./cascade_sparseswin_smoke.py', str(TWIN.with_name('cascade_sparseswin_smoke.py')))
    data = f'data_root = {str(shapes) + "/"!r}\n'
    data += ''.join(
        f'{split}_dataloader = dict(dataset=dict(data_root=data_root))\n' for split in ('train', 'val', 'test')
    )
    data += (
        "val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')\ntest_evaluator = val_evaluator\n"
    )
    path.write_text(text + data + OPTIONS + extra)
    return path


@pytest.fixture(scope='module')
def runs(shapes, tmp_path_factory) -> tuple[Path, Run, Run]:
    """The config, and a training of four iterations with and without FSDP."""
    folder = tmp_path_factory.mktemp('fsdp')
    config = write(folder, shapes)
    (folder / 'plain').mkdir()
    plain = launch(folder / 'ddp', write(folder / 'plain', shapes, 'strategy = None\n'))
    sharded = launch(folder / 'fsdp', config)
    assert plain.code == 0, plain.log
    assert sharded.code == 0, sharded.log
    return config, plain, sharded


@pytest.mark.slow
def test_losses_and_weights_are_those_of_ddp(runs):
    _, plain, sharded = runs
    assert 'FSDP: ' not in plain.log
    assert 'parameters in this process of 2, sharded by SwinBlock' in sharded.log
    assert len(plain.losses) == 4
    assert sharded.losses == pytest.approx(plain.losses, rel=1e-4)
    rates = [[line['lr'] for line in run.scalars if 'lr' in line] for run in (plain, sharded)]
    assert rates[0] == rates[1]
    before, after = plain.weights(2), sharded.weights(2)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        worst = (after[name].double() - tensor.double()).abs().max()
        assert worst < 1e-4 + 1e-3 * tensor.double().abs().max(), (name, worst)


@pytest.mark.slow
def test_the_checkpoint_is_a_plain_models_and_can_be_tested(runs, tools, tmp_path):
    from mmdet.registry import MODELS

    config, _, sharded = runs
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(config).model)
    model.load_state_dict(sharded.weights(2), strict=True)
    result = tools.run('test.py', config, sharded.folder / 'epoch_2.pth', '--no-amp', '--work-dir', 'out', cwd=tmp_path)
    assert result.code == 0, result.err
    validated = next(line for line in reversed(sharded.scalars) if 'coco/bbox_mAP' in line)
    (tested,) = (
        json.loads(line)
        for file in (tmp_path / 'out').glob('*/*.json')
        for line in file.read_text().splitlines()
        if 'coco/bbox_mAP' in line
    )
    for name in ('coco/bbox_mAP', 'coco/segm_mAP_50'):
        assert tested[name] == pytest.approx(validated[name], abs=2e-3)


@pytest.mark.slow
def test_a_resumed_run_equals_the_unbroken_one_and_runs_no_code_of_the_file(runs, tmp_path):
    config, _, sharded = runs
    content = torch.load(sharded.folder / 'epoch_1.pth', map_location='cpu', weights_only=False)
    content['meta']['config'] = f'open({str(tmp_path / "canary")!r}, "w")'  # mmengine runs it as a config
    torch.save(content, tmp_path / 'epoch_1.pth')
    resumed = launch(tmp_path / 'resumed', config, '--resume', tmp_path / 'epoch_1.pth')
    assert resumed.code == 0, resumed.log
    assert not (tmp_path / 'canary').exists()
    assert resumed.losses == sharded.losses[2:]
    for name, tensor in sharded.weights(2).items():
        assert torch.equal(resumed.weights(2)[name], tensor), name


def test_what_fsdp_cannot_do_is_one_line(tools, shapes, tmp_path):
    for extra, options, words in [
        ("strategy = dict(state_dict_cfg='local')\n", [], 'strategy has no type'),
        ('', [], 'tools/dist_train.sh CONFIG N'),
        ("custom_hooks = [dict(type='EMAHook')]\n", ['--launcher', 'pytorch'], 'EMAHook needs whole tensors'),
        (
            'val_dataloader = dict(sampler=dict(round_up=False))\n',
            ['--launcher', 'pytorch'],
            'as many batches as the others',
        ),
        ("strategy.update(state_dict_cfg='local')\n", ['--launcher', 'pytorch'], "only 'full' can be resumed"),
    ]:
        config = write(tmp_path, shapes, extra)
        result = tools.run('train.py', config, *options, cwd=tmp_path)
        assert result.code == 2, (words, result.err)
        assert words in ' '.join(result.errors)
        assert 'Traceback' not in result.err


def test_a_class_that_the_model_lacks_is_named_with_those_it_has():
    from mmsparseswin import Swin
    from mmsparseswin.engine.fsdp import classes_of
    from mmsparseswin.errors import InputError

    model = Swin(arch=dict(embed_dims=16, depths=(1, 1), num_heads=(1, 2)), out_indices=(1,))
    assert [one.__name__ for one in classes_of(model, ('SwinBlock', 'NoBlock'))] == ['SwinBlock']
    with pytest.raises(InputError, match=r"'NoBlock'.*none of these, but SwinBlock"):
        classes_of(model, ('NoBlock',))
