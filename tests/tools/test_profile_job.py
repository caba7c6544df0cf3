"""Test profile_job.py on a detector and a classifier: its table and its errors."""

import re

import pytest
import torch


def profile(tools, trained, *args):
    return tools.run(
        'analysis_tools/profile_job.py', trained.config, '--checkpoint', trained.checkpoint, *args, cwd=trained.folder
    )


@pytest.mark.parametrize(
    ('kind', 'mode'),
    [
        ('detector', []),
        ('detector', ['--test']),
        ('classifier', []),
        ('classifier', ['--test']),
        ('classifier', ['--test', '--amp']),  # mmcv's suppression has no bfloat16: not the tiny detector
    ],
)
def test_the_parts_add_up(tools, request, kind, mode):
    result = profile(tools, request.getfixturevalue(kind), '--batches', '2', *mode)
    assert result.code == 0, result.err
    rows = re.findall(r'^\| (.+?) \| ([0-9.]+) \| ([0-9.]+) ?% \|$', result.out, re.M)
    times = {name: float(taken) for name, taken, _ in rows}
    whole = times.pop('all')
    assert whole == pytest.approx(sum(times.values()), abs=0.06 * len(rows))
    wanted = {'backbone', 'read: LoadImageFromFile', 'data_preprocessor'}
    wanted |= {'metric: the whole set'} if mode else {'backward pass', 'optimizer'}
    assert wanted <= set(times)


def test_a_single_batch_is_refused(tools, detector):
    result = profile(tools, detector, '--batches', '1')
    assert result.code == 2
    assert 'must be at least 2' in result.err


def test_a_file_without_weights_is_refused(tools, detector, tmp_path):
    torch.save({}, tmp_path / 'empty.pth')
    result = tools.run(
        'analysis_tools/profile_job.py', detector.config, '--checkpoint', tmp_path / 'empty.pth', cwd=detector.folder
    )
    assert result.code == 2
    assert 'no weights' in result.err
