"""docs/errors.md has every error line of the code, as it is printed, with what to do."""

import re
import runpy
from pathlib import Path

import pytest

from mmsparseswin.errors import InputError

ROOT = Path(__file__).parents[1]
WRITE = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'write_errors_page.py'))


@pytest.fixture(scope='module')
def found():
    return WRITE['messages']()


def test_the_page_is_up_to_date(found):
    assert WRITE['PAGE'].read_text(encoding='utf-8') == WRITE['write_page'](found), (
        'run: python tools/dev/write_errors_page.py'
    )


def test_every_message_says_what_to_do(found):
    assert len(found) > 350
    assert [message.text for message in found if len(message.remedy) < 8 or len(message.text) < 12] == []
    rooms = {message.room for message in found}
    assert rooms > {
        'cli',
        'checkpoints',
        'backbones',
        'engine',
        'detection',
        'classification',
        'label_formats',
        'tools',
    }
    (row,) = [row for row in found if row.text.startswith('model NAME is unknown') and row.room == 'backbones']
    assert row.remedy == 'Choose one of NAMES.'


def test_templates_of_a_fake_room(tmp_path):
    code = """
LIST = 'one of the list'
def check(path, sizes, kind):
    hint = f'; did you mean {kind}?' if kind else ''
    where = f'file {path.name}'
    if sizes:
        raise InputError(f'{where} has {len(sizes)} sizes of {", ".join(sizes)}{hint}; give fewer')
    raise InputError(f'{where}: {LIST} ' + ('is missing' if kind else 'is empty'))
"""
    (tmp_path / 'mmsparseswin' / 'layers').mkdir(parents=True)
    (tmp_path / 'mmsparseswin' / 'layers' / 'one.py').write_text(code)
    rows = WRITE['messages'](tmp_path)
    assert [(row.room, row.file, row.text) for row in rows] == [
        ('layers', 'mmsparseswin/layers/one.py', 'file NAME has NUMBER sizes of SIZES; give fewer'),
        ('layers', 'mmsparseswin/layers/one.py', 'file NAME: one of the list is missing'),
    ]
    assert rows[0].remedy == 'Give fewer.'


def provoke(call) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return ' '.join(str(caught.value).split())


def test_real_errors_are_on_the_page(found, tmp_path):
    import mmsparseswin
    from mmsparseswin.checkpoints import read_checkpoint
    from mmsparseswin.command import run
    from mmsparseswin.shapes.dataset import draw_dataset

    empty = tmp_path / 'empty.pth'
    empty.touch()
    said = [
        provoke(lambda: mmsparseswin.create_model('nothing')),
        provoke(lambda: mmsparseswin.create_model('swin-tiny', windw_size=7)),
        provoke(lambda: mmsparseswin.create_model('swin-tiny', drop_path_rate=2)),
        provoke(lambda: read_checkpoint(str(empty))),
        provoke(lambda: read_checkpoint(str(tmp_path / 'none.pth'))),
        provoke(lambda: run('trian', [])),
        provoke(lambda: draw_dataset(tmp_path, images=(1, 1), size=1)),
    ]
    # Words in capitals stand for anything; the nearest name may be added.
    patterns = [re.sub(r'(?<![A-Za-z])[A-Z][A-Z_]+(?![a-z])', '.*', re.escape(row.text)) for row in found]
    patterns = [pattern.replace(r';\ ', '.*;.* ') for pattern in patterns]
    assert [line for line in said if not any(re.fullmatch(pattern, line) for pattern in patterns)] == []
