"""The torture commands notice what is lost; the long ones run with -m slow."""

import json

import numpy as np
import pytest
import torch
from coco_sized import write_coco
from kill_training import Report, Torture
from measured import Measured
from memory_growth import growth
from odd_pictures import Outcome, write_pictures

from mmsparseswin.detection.data_check.check import check_file


@pytest.mark.parametrize(('saved', 'reached', 'lost'), [([3], 6, 0), ([3], 7, 1), ([], 4, 1), ([3, 6], 7, 0)])
def test_a_lost_checkpoint_is_noticed(tmp_path, saved, reached, lost):
    """Iteration 7 begins after the checkpoint of iteration 6, so that one must be there."""
    torture = Torture.__new__(Torture)
    torture.report = Report()
    (tmp_path / 'start/vis_data').mkdir(parents=True)
    lines = [json.dumps(dict(step=step, loss=1.0)) for step in range(1, reached + 1)]
    (tmp_path / 'start/vis_data/scalars.json').write_text('\n'.join(lines) + '\n{"step": 9, "lo')
    for iteration in saved:
        torch.save({'meta': {'iter': iteration}}, tmp_path / f'iter_{iteration}.pth')
    assert torture._look(tmp_path, 0, 'killed', print) == max(saved, default=0)
    assert len(torture.report.lost) == lost


def test_a_broken_checkpoint_and_one_that_goes_back_are_noticed(tmp_path):
    torture = Torture.__new__(Torture)
    torture.report = Report()
    torch.save({'meta': {'iter': 3}}, tmp_path / 'iter_3.pth')
    torture._look(tmp_path, 6, 'killed', print)
    (tmp_path / 'iter_6.pth').write_bytes((tmp_path / 'iter_3.pth').read_bytes()[:100])
    torture._look(tmp_path, 3, 'killed', print)
    assert [fault.rpartition(', broken ')[2] for fault in torture.report.faults] == ['0', '1']


def test_a_picture_without_a_word_is_lost(tmp_path):
    pictures = [tmp_path / name for name in ('good.jpg', 'named.jpg', 'gone.jpg')]
    lines = tmp_path / 'lines.jsonl'
    lines.write_text('{"run": {}}\n{"file_name": "good.jpg"}\n')
    result = Measured(1, '', f'skipped image {pictures[1]}: it is noise\n', 1.0, 1.0, 1)
    assert Outcome(pictures, result, lines).lost == ['gone.jpg: 0 lines, predicted: False']


def test_large_annotation_files_are_drawn_without_a_flaw(tmp_path):
    path = write_coco(tmp_path, 'train', 7, 300, ['a', 'b'])
    verdict = check_file(str(path), 'train_dataloader.dataset', ('a', 'b'), masks_needed=True)
    assert (verdict.errors, verdict.notes) == ([], [])
    assert sum(objects.left for objects in verdict.objects.values()) == 300


def test_growth_is_noticed():
    flat = np.full(400, 5e8)
    flat[:50] = 4e8
    assert growth(flat) == 0
    assert growth(flat + 1000 * np.arange(400)) == 1000 * 200


@pytest.mark.slow
def test_there_are_fifty_odd_pictures(tmp_path):
    assert len(write_pictures(tmp_path / 'pictures')) >= 50


@pytest.mark.slow
def test_three_kills_lose_nothing(tmp_path):
    report = Torture(tmp_path, seed=1).run(3)
    assert report.kinds.total() == 3
    assert report.runs
    assert report.faults == []
