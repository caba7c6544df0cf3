"""Blocks of code in the pages: Python runs or parses, commands name tools and options that exist."""

import io
import json
import re
import runpy
from contextlib import redirect_stdout
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from pages import blocks, check_command, commands

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md')), *sorted((ROOT / 'configs').glob('*/README.md'))]
# Pages whose Python runs from top to bottom in one session; the others' is parsed, or run by a test of their own
# (ten_minutes as the notebook that is made from it).
RUN = ['attention', 'one_backbone', 'classifier_to_detector', 'coming_from', 'sparsity']
SHORTER = {'images=(240, 60)': 'images=(12, 4)', 'epochs=8': 'epochs=1'}  # for the time of a test


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_commands_exist(page):
    for block in blocks(page, 'shell bash'):
        for command in commands(block):
            check_command(command)


def test_wrong_commands_are_found():
    check_command('NNODES=2 tools/dist_train.sh CONFIG 8 --resume')
    for wrong in (
        'mmsparseswin trian CONFIG',
        'mmsparseswin train CONFIG --resum',
        'python tools/trian.py CONFIG',
        'python tools/train.py CONFIG --size=3',
        'tools/dist_test.sh CONFIG CHECKPOINT 2 --resume',
        'bash tools/nothing.sh',
    ):
        with pytest.raises(AssertionError):
            check_command(wrong)


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_python_parses(page):
    for block in blocks(page, 'python'):
        compile(block, name(page), 'exec')


@pytest.mark.parametrize('page', RUN)
def test_python_runs_as_printed(page, tmp_path, monkeypatch):
    """Every block runs; a block of text right behind one is what it prints."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / 'docs' / f'{page}.md').read_text(encoding='utf-8')
    found = re.findall(r'^```python\n(.*?)^```(?:\n+```\n(.*?)^```)?', text, re.DOTALL | re.MULTILINE)
    assert found
    session: dict = {}
    for code, expected in found:
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(code, page, 'exec'), session)
        if expected:
            lines = expected.splitlines()  # imports of libraries may print before them
            assert printed.getvalue().splitlines()[-len(lines) :] == lines


def test_the_notebook_is_the_tutorial_and_its_code_is_the_code_that_runs():
    write = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'write_notebook.py'))
    content = json.loads(write['NOTEBOOK'].read_text(encoding='utf-8'))
    page = write['PAGE'].read_text(encoding='utf-8')
    assert content == write['notebook'](page), 'run: python tools/dev/write_notebook.py'
    code = [''.join(cell['source']) + '\n' for cell in content['cells'] if cell['cell_type'] == 'code']
    assert code == blocks(write['PAGE'], 'python')
    assert '](https://github.com/mmsparseswin/mmsparseswin/blob/main/docs/own_data.md)' in str(content)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_notebook_runs_in_a_kernel_from_top_to_bottom(tmp_path):
    text = (ROOT / 'docs' / 'ten_minutes.ipynb').read_text(encoding='utf-8')
    for long, short in SHORTER.items():
        assert long in text
        text = text.replace(long, short)
    notebook = nbformat.reads(text, as_version=4)
    NotebookClient(notebook, timeout=3000, resources={'metadata': {'path': str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == 'code']
    printed = [''.join(one.get('text', '') for one in cell.outputs) for cell in cells]
    assert "('disk', 'star')" in printed[1]
    assert (tmp_path / 'work_dirs/mine/epoch_1.pth').is_file()
    assert "'coco/bbox_mAP'" in printed[2]
    assert printed[3].endswith('4 pictures with boxes and masks in pictures/\n')
    assert len(list((tmp_path / 'pictures').iterdir())) == 4
