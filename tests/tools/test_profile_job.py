"""The command on a detector and on a classifier: a table that adds up, and what it refuses."""

import re

import pytest


def profile(tools, trained, *args):
    return tools.run(
        'analysis_tools/profile_job.py', trained.config, '--checkpoint', trained.checkpoint, *args, cwd=trained.folder
    )


@pytest.mark.parametrize('mode', [[], ['--test']], ids=['train', 'test'])
@pytest.mark.parametrize('kind', ['detector', 'classifier'])
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
