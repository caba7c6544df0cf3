"""Test curves of runs and of learning rates before training."""

import json

import numpy as np
import pytest
from mmengine.config import Config

from mmsparseswin.errors import InputError
from mmsparseswin.visualization.run_curves import choose_keys, draw_panels, read_runs, series, summary
from mmsparseswin.visualization.schedules import learning_rates


@pytest.fixture
def work_dir(tmp_path):
    """A run of two epochs of four iterations, whose third epoch is being written."""
    path = tmp_path / 'run' / '20260101_000000' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    lines = []
    for step in range(2, 10, 2):
        lines.append(
            {
                'loss': 1 / step,
                'loss_cls': 0.5 / step,
                'lr': 0.1,
                'epoch': (step + 3) // 4,
                'iter': step,
                'step': step,
                'minutes': step / 2,
            }
        )
        if step % 4 == 0:
            lines.append({'coco/bbox_mAP': step / 10, 'step': step // 4})
    path.write_text(''.join(json.dumps(line) + '\n' for line in lines) + '{"loss": 0.0')
    return tmp_path / 'run'


def test_a_running_training_is_drawn_up_to_its_last_whole_line(work_dir):
    runs = read_runs([str(work_dir)])
    keys = choose_keys(runs)
    assert keys == ['loss', 'coco/bbox_mAP', 'lr']
    records = runs['run']
    assert series(records, 'loss', 'epoch') == [(0.5, 0.5), (1.0, 0.25), (1.5, 1 / 6), (2.0, 0.125)]
    assert series(records, 'coco/bbox_mAP', 'epoch') == [(1, 0.4), (2, 0.8)]
    assert series(records, 'coco/bbox_mAP', 'iter') == [(4, 0.4), (8, 0.8)]
    assert series(records, 'coco/bbox_mAP', 'minutes') == [(2, 0.4), (4, 0.8)]
    assert summary(runs, keys) == 'run  loss 0.125   coco/bbox_mAP best 0.8, last 0.8   lr 0.1'
    panels = [panel.get_title(loc='left') for panel in draw_panels(runs, keys).axes]
    assert panels == keys


def test_keys_match_patterns_and_wrong_ones_are_refused(work_dir):
    runs = read_runs([str(work_dir)])
    assert choose_keys(runs, ['loss*']) == ['loss', 'loss_cls']
    with pytest.raises(InputError, match='--keys acc: the runs have loss, loss_cls, lr, coco/bbox_mAP'):
        choose_keys(runs, ['acc'])
    with pytest.raises(InputError, match='no curves yet'):
        read_runs([str(work_dir.parent)])


def _config(**options):
    return Config(
        dict(
            default_scope='mmdet',
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0)),
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=4),
            **options,
        )
    )


def test_learning_rates_are_those_of_the_schedulers():
    warm_up = dict(type='LinearLR', start_factor=0.5, by_epoch=False, begin=0, end=5)
    steps = dict(type='MultiStepLR', milestones=[2, 3], gamma=0.1, by_epoch=True)
    rates = learning_rates(_config(param_scheduler=[warm_up, steps]), 10)
    expected = np.repeat([1.0, 1.0, 0.1, 0.01], 10)
    expected[:4] = 0.5 + 0.125 * np.arange(4)
    np.testing.assert_allclose(rates, expected)
    cosine = dict(type='CosineAnnealingLR', T_max=4, by_epoch=True, convert_to_iter_based=True)
    rates = learning_rates(_config(param_scheduler=cosine), 10)
    np.testing.assert_allclose(rates, 0.5 + 0.5 * np.cos(np.pi * np.arange(40) / 40))
    np.testing.assert_allclose(learning_rates(_config(), 3), np.ones(12))


def test_a_schedule_that_follows_losses_is_refused():
    plateau = dict(type='ReduceOnPlateauLR', monitor='loss', rule='less')
    with pytest.raises(InputError, match='known in training only'):
        learning_rates(_config(param_scheduler=plateau), 10)
    with pytest.raises(InputError, match='no schedule to draw'):
        learning_rates(Config(dict(default_scope='mmdet')), 10)
