"""The table of exports: a row per model, format and precision, refusals with their reason, and its page."""

import json
import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from mmsparseswin.errors import InputError
from mmsparseswin.export import matrix
from mmsparseswin.export.formats import FORMATS
from mmsparseswin.export.subjects import Subject

ROOT = Path(__file__).parents[2]


class Mean(nn.Module):
    """Computes something else while it is traced, if `wrong`."""

    def __init__(self, wrong: bool) -> None:
        super().__init__()
        self.wrong = wrong

    def forward(self, image):
        return (image.mean((1, 2, 3)) * (0.9 if self.wrong and torch.jit.is_tracing() else 1.0),)


def entry(name: str, wrong: bool) -> matrix.Entry:
    return matrix.Entry(name, lambda: Subject(Mean(wrong), 'backbone', ('mean',), None, None, {}), lambda: None)


@pytest.fixture(scope='module')
def rows(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp('files')
    entries = [entry('right', False), entry('wrong', True)]
    return list(matrix.export_all(entries, ['torchscript'], ['fp32', 'int8'], (8, 8), folder))


def test_each_export_is_a_row_and_a_refusal_has_its_reason(rows):
    assert [(row['model'], row['precision']) for row in rows] == [('right', 'fp32'), ('wrong', 'fp32')]
    assert rows[0]['comparison']['outputs']['mean']['relative'] < 1e-6
    lines = matrix.table(rows).splitlines()
    assert lines[2].startswith('| right | torchscript | fp32 | ')
    assert lines[3].startswith('| wrong | torchscript | fp32 | mean of the file differs from the model by ')
    assert {line.count('|') for line in lines} == {8}
    text = matrix.caption(rows, (8, 8), 'mmsparseswin export-matrix right')
    assert text.startswith('One image of 8 x 8, ')
    assert text.endswith('`mmsparseswin export-matrix right`')
    with pytest.raises(InputError, match='none of the exports succeeded'):
        matrix.caption(rows[1:], (8, 8), '')


def test_int8_shows_cosine_and_accuracy(rows):
    found = dict(
        outputs=dict(a=dict(cosine=0.99), b=dict(cosine=0.98)), accuracy=dict(eager=91.5, file=91.25), pictures=''
    )
    row = rows[0] | dict(precision='int8', format='onnx', comparison=found)
    assert '| cosine 0.9800, accuracy 91.25 % (eager 91.50 %) |' in matrix.table([row])


def test_the_table_goes_between_the_marks_of_a_page(rows, tmp_path):
    page, out = tmp_path / 'page.md', tmp_path / 'matrix.json'
    page.write_text(f'# Title\n\n{matrix.BEGIN}\nold\n{matrix.END}\nend\n')
    matrix.save(rows, 'new', out, page)
    assert page.read_text() == f'# Title\n\n{matrix.BEGIN}\nnew\n{matrix.END}\nend\n'
    assert json.loads(out.read_text()) == rows
    page.write_text('# Title')
    with pytest.raises(InputError, match='has no lines'):
        matrix.save(rows, 'new', out, page)


@pytest.mark.parametrize(
    ('options', 'line'),
    [
        (['swin-cifar', '--shape', '32'], 'int8 of swin-cifar: name pictures by --images'),
        (['other', '--shape', '32'], 'other: give a backbone of mmsparseswin.list_models'),
        (['swin-cifar', '--shape', '0'], '--shape takes a height and a width'),
        (['swin-cifar', '--shape', '32', '--page', 'none.md'], '--page none.md has no lines'),
    ],
)
def test_mistakes_are_one_line_before_any_export(options, line, monkeypatch, tmp_path):
    tool = runpy.run_path(str(ROOT / 'tools' / 'analysis_tools' / 'export_matrix.py'))
    assert tool['FORMATS'] == tuple(FORMATS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sys.argv', ['export-matrix', *options, '--out', 'a.json'])
    with pytest.raises(InputError) as caught:
        tool['main']()
    assert str(caught.value).startswith(line)


@pytest.mark.slow
def test_the_command_writes_the_table_of_a_backbone(monkeypatch, tmp_path, capsys):
    from PIL import Image

    Image.new('RGB', (40, 40), (200, 90, 30)).save(tmp_path / 'a.png')
    Image.effect_noise((40, 40), 90).convert('RGB').save(tmp_path / 'b.png')
    tool = runpy.run_path(str(ROOT / 'tools' / 'analysis_tools' / 'export_matrix.py'))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        'sys.argv', ['export-matrix', 'swin-cifar', '--shape', '32', '--images', '.', '--out', 'a.json']
    )
    tool['main']()
    made = [(row['format'], row['precision'], 'error' in row) for row in json.loads(Path('a.json').read_text())]
    assert made == [
        ('onnx', 'fp32', False),
        ('onnx', 'int8', False),
        ('openvino', 'fp32', False),
        ('openvino', 'int8', False),
        ('torchscript', 'fp32', False),
    ]
    assert 'swin-cifar, random weights' in capsys.readouterr().out
