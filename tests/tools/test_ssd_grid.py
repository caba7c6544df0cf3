"""Test the command of the slim SSD grid on a few small pictures."""

import json

MARKS = 'Before.\n\n<!-- results of ssd_grid.py -->\nold\n<!-- end of results -->\n\nAfter.\n'


def test_the_grid_trains_resumes_and_fills_its_page(tools, shapes, tmp_path):
    page = tmp_path / 'docs' / 'page.md'
    page.parent.mkdir()
    page.write_text(MARKS)
    arguments = ['--data', shapes, '--images', 8, 4, '--size', 64, '--work-dir', 'grid', '--page', page, '--jobs', 1]
    arguments += ['--epochs', 1]
    cells = ['--cells', 'r50-b_none', 'sparseswin-t_densefpn', '--seeds', 2]
    first = tools.run('experiments/ssd_grid.py', *arguments, *cells, cwd=tmp_path)
    assert first.code == 0, first.out + first.err
    assert '0 runs are done, 4 to go' in first.out
    numbers = json.loads((page.parent / 'ssd_grid.json').read_text())
    assert (numbers['runs'], numbers['iterations'], numbers['images']) == (4, 2, 8)
    assert [(c['backbone'], c['neck'], len(c['scores'])) for c in numbers['cells']] == [
        ('r50-b', 'none', 2),
        ('sparseswin-t', 'densefpn', 2),
    ]
    assert all(c['milliseconds'] > 0 for c in numbers['cells'])
    text = page.read_text()
    assert text.startswith('Before.')
    assert text.endswith('After.\n')
    assert 'old' not in text
    assert '| SparseSwin-T | DenseFPN |' in text
    assert (page.parent / 'images' / 'ssd_grid.png').read_bytes().startswith(b'\x89PNG')

    again = tools.run('experiments/ssd_grid.py', *arguments, '--cells', 'r50-b_none', '--seeds', 2, cwd=tmp_path)
    assert '2 runs are done, 0 to go' in again.out
    changed = ['--cfg-options', 'optim_wrapper.clip_grad.max_norm=1.0']
    other = tools.run(
        'experiments/ssd_grid.py', *arguments, '--cells', 'r50-b_none', '--seeds', 1, *changed, cwd=tmp_path
    )
    assert '0 runs are done, 1 to go' in other.out


def test_mistakes_are_named(tools, tmp_path):
    unknown = tools.run('experiments/ssd_grid.py', '--cells', 'r101_fpn', cwd=tmp_path)
    assert (unknown.code, len(unknown.errors)) == (2, 1)
    assert 'r101_fpn' in unknown.errors[0]
    (tmp_path / 'page.md').write_text('no marks')
    bare = tools.run('experiments/ssd_grid.py', '--page', 'page.md', cwd=tmp_path)
    assert bare.code == 2
    assert 'page.md needs the lines' in bare.errors[0]
