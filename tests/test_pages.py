"""Blocks of code in the pages: Python runs or parses, commands name tools and options that exist."""

import io
import json
import re
import runpy
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from pages import blocks, check_command, commands

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md')), *sorted((ROOT / 'configs').glob('*/README.md'))]
# Pages whose Python runs from top to bottom in one session; the others' is parsed, or run by a test of their own.
RUN = ['attention', 'one_backbone', 'classifier_to_detector', 'coming_from', 'sparsity', 'ten_minutes']
SLOW = ['ten_minutes']
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


@pytest.mark.parametrize('page', [pytest.param(page, marks=[pytest.mark.slow] * (page in SLOW)) for page in RUN])
def test_python_runs_as_printed(page, tmp_path, monkeypatch):
    """Every block runs; a block of text right behind one is what it prints."""
    monkeypatch.chdir(tmp_path)
    text = (ROOT / 'docs' / f'{page}.md').read_text(encoding='utf-8')
    if page in SLOW:
        for long, short in SHORTER.items():
            assert long in text
            text = text.replace(long, short)
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
