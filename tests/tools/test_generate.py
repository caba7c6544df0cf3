"""Training and drawing by the ordinary tools: the same losses after a resume, the same pictures for a seed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS
from PIL import Image

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/generation/swinunet_mnist.py'
SMALL = ['train_dataloader.batch_size=8', 'default_hooks.logger.interval=1', 'optim_wrapper.precision=float32']


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    """A folder with a small MNIST."""
    folder = tmp_path_factory.mktemp('mnist')
    rng = np.random.default_rng(0)
    arrays = {f'{split}_images': rng.integers(0, 256, (32, 28, 28), dtype=np.uint8) for split in ('train', 'test')}
    labels = {f'{split}_labels': np.arange(32, dtype=np.uint8) % 10 for split in ('train', 'test')}
    np.savez(folder / 'mnist.npz', **arrays, **labels)
    return folder


def losses(run: Path) -> dict[int, float]:
    found = {}
    for scalars in sorted(run.glob('*/vis_data/scalars.json')):
        records = map(json.loads, scalars.read_text().splitlines())
        found |= {record['step']: record['loss'] for record in records if 'loss' in record}
    return found


@pytest.fixture(scope='module')
def trained(tools, digits, tmp_path_factory):
    """A run of two epochs, and the same in two parts."""
    folder = tmp_path_factory.mktemp('runs')
    options = ['--no-validate', '--cfg-options', f'data_root={digits}', *SMALL]
    for run, epochs, more in (('whole', 2, []), ('parts', 1, []), ('parts', 2, ['--resume'])):
        done = tools.run(
            'train.py', CONFIG, '--work-dir', run, *more, *options, f'train_cfg.max_epochs={epochs}', cwd=folder
        )
        assert done.code == 0, done.err
    return folder


def test_a_resumed_run_has_the_losses_and_averages_of_the_unbroken_one(trained):
    whole, parts = losses(trained / 'whole'), losses(trained / 'parts')
    assert sorted(whole) == list(range(1, 9))
    assert whole == parts
    states = [torch.load(trained / run / 'epoch_2.pth', weights_only=False)['state_dict'] for run in ('whole', 'parts')]
    assert int(states[0]['average_steps']) == 8
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    moved = [name for name in states[0] if name.startswith('averaged.')]
    assert any(not torch.equal(states[0][name], states[0][name.replace('averaged.', 'unet.', 1)]) for name in moved)


def test_an_evaluation_judges_and_draws_a_sheet(tools, digits, trained, tmp_path):
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(ROOT / 'configs/generation/lenet_mnist.py')
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'judge.pth')
    few = [f'data_root={digits}', 'model.draw_steps=2', f'test_evaluator.judge.checkpoint={tmp_path / "judge.pth"}']
    few.append('test_dataloader.dataset.count=90')
    checkpoint = trained / 'whole/epoch_2.pth'
    found = []
    for batch, run in ((90, 'a'), (50, 'b')):
        options = ['--cfg-options', *few, f'test_dataloader.batch_size={batch}']
        out = ['--work-dir', run, '--out', f'{run}.json', '--out-item', 'metrics']
        done = tools.run('test.py', CONFIG, checkpoint, *out, *options, cwd=tmp_path)
        assert done.code == 0, done.err
        found.append(json.loads((tmp_path / f'{run}.json').read_text()))
    names = ['accuracy', 'distance', 'distance_over_floor', 'floor', 'recall']
    assert [name for name in sorted(found[0]) if name.startswith('drawn/')] == [f'drawn/{name}' for name in names]
    assert found[0]['drawn/distance'] == pytest.approx(found[1]['drawn/distance'], rel=1e-2)  # batches change nothing
    (sheet,) = (tmp_path / 'a').glob('drawn_*.png')
    with Image.open(sheet) as picture:
        assert picture.size == (298, 298)


def test_without_a_judge_one_line_says_what_to_do_before_anything_is_trained(tools, digits, tmp_path):
    options = ['--cfg-options', f'data_root={digits}', *SMALL]
    done = tools.run('train.py', CONFIG, '--work-dir', 'run', *options, cwd=tmp_path)
    assert done.code
    assert done.err.splitlines()[-1].startswith('error: no judge at work_dirs/lenet_mnist/epoch_4.pth: train it with')
    assert losses(tmp_path / 'run') == {}


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: Image.open(path).tobytes() for path in sorted(folder.iterdir())}


def test_pictures_of_a_seed_are_the_same_and_of_another_are_not(tools, trained, tmp_path):
    checkpoint = trained / 'whole/epoch_2.pth'
    options = ['--classes', '3', '7', '--count', '2', '--guidance', '2', '--steps', '3']
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        done = tools.run(
            'generate.py', CONFIG, checkpoint, *options, '--seed', seed, '--out-dir', tmp_path / name, cwd=tmp_path
        )
        assert done.code == 0, done.err
        assert done.out.splitlines()[-1] == f'4 pictures: {tmp_path / name}/sheet.png'
    a, b, c = (pictures(tmp_path / name) for name in 'abc')
    assert list(a) == ['3_000.png', '3_001.png', '7_000.png', '7_001.png', 'sheet.png']
    assert a == b
    assert all(a[name] != c[name] for name in a)
    with Image.open(tmp_path / 'a/sheet.png') as sheet:
        assert (sheet.size, sheet.mode) == ((58, 58), 'L')
        tile = sheet.crop((30, 0, 58, 28)).tobytes()
    assert tile == a['3_001.png']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--classes', '10'], '--classes 10: the model has the labels 0 to 9'),
        (['--sampler', 'flow-euler'], "sampler 'flow-euler' does not draw by Diffusion"),
        (['--count', '0'], '--count 0: must be at least 1'),
    ],
)
def test_what_cannot_be_drawn_is_one_line(tools, trained, tmp_path, options, message):
    done = tools.run(
        'generate.py', CONFIG, trained / 'whole/epoch_2.pth', *options, '--out-dir', tmp_path / 'out', cwd=tmp_path
    )
    assert done.code
    assert done.err.splitlines()[-1].startswith(f'error: {message}')


def test_a_config_that_draws_nothing_is_refused(tools, trained, tmp_path):
    config = ROOT / 'configs/swinvit/swinvit_1xb128_cifar10.py'
    done = tools.run('generate.py', config, trained / 'whole/epoch_2.pth', '--out-dir', tmp_path / 'out', cwd=tmp_path)
    assert done.code
    assert 'which draws nothing; see configs/generation' in done.err.splitlines()[-1]
