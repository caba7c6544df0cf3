"""Test what the page does with a picture, a threshold and a click, without a browser."""

import json
import shutil
from pathlib import Path

import mmcv
import numpy as np
import pytest
from PIL import Image

from mmsparseswin.demo import attention_page, pictures, token_page
from mmsparseswin.demo import models as demo_models
from mmsparseswin.demo.actions import Actions
from mmsparseswin.demo.chosen import chosen_models
from mmsparseswin.demo.models import LOWEST, Models
from mmsparseswin.demo.uploads import check_picture
from mmsparseswin.errors import InputError

SPARSE, SEMANTIC = 'cascade_sparseswin_smoke', 'cascade_stvitr_smoke'


@pytest.fixture
def actions(models, tmp_path) -> Actions:
    return Actions(models, tmp_path)


@pytest.fixture(scope='module')
def looks(models, pictures):
    return {name: models.look(name, pictures[0]) for name in models.names}


def test_a_threshold_draws_again_without_the_model(actions, models, pictures, monkeypatch):
    shown = actions.predict(pictures[0], SPARSE, 'one')
    monkeypatch.setattr(models, 'predict', None)
    scores = np.sort(shown.result.scores)
    assert len(scores) > 4
    assert scores[0] >= LOWEST
    everything, table, file = actions.draw(shown, LOWEST, 'one')
    assert max(everything.size) == pictures_side()
    content = json.loads(file.read_text())
    assert [one['score'] for one in content['annotations']] == pytest.approx(sorted(scores)[::-1], abs=1e-4)
    assert content['images'][0]['file_name'] == pictures[0].name
    assert table.count('<tr>') == 1 + len(scores)
    between = float(scores[2] + scores[3]) / 2
    fewer, table, second = actions.draw(shown, between, 'one')
    kept = int((scores >= between).sum())
    assert table.count('<tr>') == 1 + kept
    assert f'{kept} of {len(scores)} objects' in table
    assert len(json.loads(second.read_text())['annotations']) == kept
    assert not file.exists()
    assert fewer.tobytes() != everything.tobytes()
    nothing, table, _ = actions.draw(shown, 1.0, 'one')
    plain = Image.fromarray(mmcv.imread(str(pictures[0]), channel_order='rgb')).resize(nothing.size)
    assert np.array_equal(np.asarray(nothing), np.asarray(plain))
    assert 'Move the threshold down' in table


def pictures_side() -> int:
    return pictures.SIDE


def test_sessions_have_folders_of_their_own(actions, pictures, tmp_path):
    given = [tmp_path / name / 'same.jpg' for name in ('a', 'b')]
    for path, source in zip(given, pictures, strict=False):
        path.parent.mkdir()
        shutil.copy(source, path)
    first, second = (actions.predict(path, SPARSE, session) for path, session in zip(given, 'xy', strict=True))
    assert first.path != second.path
    assert first.path.read_bytes() == pictures[0].read_bytes()
    files = [actions.draw(shown, LOWEST, session)[2] for shown, session in ((first, 'x'), (second, 'y'))]
    given[0].unlink()
    assert max(actions.look(first).picture.shape) == 64
    actions.forget('x')
    assert not first.path.exists()
    assert not files[0].exists()
    assert second.path.exists()
    assert files[1].exists()
    assert actions.own_folder('../../etc').parent == actions.own_folder('x').parent


def test_a_picture_is_looked_at_once(models, pictures, tmp_path, monkeypatch):
    first = models.look(SPARSE, pictures[1])
    copy = shutil.copy(pictures[1], tmp_path / 'copy.jpg')
    assert models.look(SPARSE, Path(copy)) is first
    assert models.look(SPARSE, pictures[2]) is not first
    monkeypatch.setattr(demo_models, '_MOST_BYTES', 1)
    models.look(SPARSE, pictures[0])
    assert len(models._looks) == 1


def test_looking_changes_no_prediction(models, pictures):
    before = models.predict(SPARSE, pictures[3])
    models.look(SPARSE, pictures[3])
    after = models.predict(SPARSE, pictures[3])
    np.testing.assert_array_equal(before.boxes, after.boxes)


@pytest.mark.parametrize('name', [SPARSE, SEMANTIC])
def test_every_token_is_found_by_a_click_on_its_place(looks, name):
    look = looks[name]
    for title, tokens in look.tokens.items():
        picture, board, text = token_page.show(look, title, None)
        assert f'the {len(tokens)} tokens' in text
        rows, columns = tokens.layout
        for number in range(len(tokens)):
            row, column = divmod(number, columns)
            at = ((column + 0.5) * board.width / columns, (row + 0.5) * board.height / rows)
            assert token_page.click_board(look, title, at) == ('token', number, 0)
        drawn, marked, text = token_page.show(look, title, ('token', len(tokens) - 1, 0))
        assert text.startswith(f'**Token {len(tokens)} of {len(tokens)}**')
        assert drawn.size == picture.size
        assert drawn.tobytes() != picture.tobytes()
        assert marked.tobytes() != board.tobytes()


@pytest.mark.parametrize('name', [SPARSE, SEMANTIC])
def test_a_place_shows_the_tokens_that_it_asks(looks, name):
    look = looks[name]
    title, tokens = next(iter(look.tokens.items()))
    width, _ = pictures.shown_size(look.picture)
    click = token_page.click_picture(look, title, (width - 1, 0))
    assert click == ('place', 0, tokens.places[1] - 1)
    _, _, text = token_page.show(look, title, click)
    best = int(tokens.asks(0, tokens.places[1] - 1).argmax())
    assert f'asks token {best + 1} most' in text
    assert token_page.show(look, title, ('token', 10**6, 0))[2].startswith('Click one')  # of another model


def test_every_block_and_head_is_drawn(looks):
    for look in looks.values():
        for block in attention_page.block_names(look):
            seen = set()
            for head in range(attention_page.count_heads(look, block) + 1):
                picture, text = attention_page.show(look, block, head, False, (0.1, 0.9))
                seen.add(picture.tobytes())
                assert (f'head {head} of' if head else 'mean of') in text
            assert len(seen) > 1 or attention_page.count_heads(look, block) == 1
            _, text = attention_page.show(look, block, 0, True, None)
            assert 'receives' in text or 'all places ask' in text or 'They have no place' in text


def test_windows_that_are_left_out_are_dark(pairs, pictures):
    models = Models(pairs[:1], 'cpu')
    models.first.network.backbone.set_keep_windows(0.5)
    look = models.look(SPARSE, pictures[0])
    block = attention_page.block_names(look)[0]
    picture, text = attention_page.show(look, block, 0, True, None)
    kept = look.records[0].kept[0]
    assert f'({int(kept.sum())} of {len(kept)} are computed' in text
    assert 0 < int(kept.sum()) < len(kept)
    pixels = np.asarray(picture)
    assert pixels.min(-1).min() < 40


@pytest.mark.parametrize(
    ('name', 'content', 'error'),
    [
        ('notes.txt', b'hello', r'notes\.txt is no picture by its name: use one of \.bmp'),
        ('notes.jpg', b'hello', r'no picture that can be read \(cannot identify'),
        ('empty.png', b'', 'the file is empty'),
        ('drawing.svg', b'<svg onload="alert(1)"/>', 'is no picture by its name'),
    ],
)
def test_what_is_no_picture_is_refused_in_words(actions, tmp_path, name, content, error):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=error):
        actions.predict(path, SPARSE, 'one')
    assert not actions.own_folder('one').exists()


def test_large_and_damaged_pictures_are_refused(tmp_path, pictures):
    Image.new('L', (6000, 5000)).save(tmp_path / 'large.png')
    with pytest.raises(InputError, match='6000 x 5000 pixels, more than 24 megapixels'):
        check_picture(tmp_path / 'large.png')
    whole = pictures[0].read_bytes()
    (tmp_path / 'half.jpg').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r'half\.jpg is damaged'):
        check_picture(tmp_path / 'half.jpg')
    (tmp_path / 'long.jpg').write_bytes(whole + bytes(21 * 2**20))
    with pytest.raises(InputError, match='has 21 MiB: use a picture of at most 20'):
        check_picture(tmp_path / 'long.jpg')


def test_models_of_a_command_line(tmp_path, monkeypatch):
    assert chosen_models(['a.py', 'a.pth', 'folder', 'mmsparseswin::b/c.py', 'd.pth']) == [
        ('a.py', 'a.pth'),
        ('folder', None),
        ('mmsparseswin::b/c.py', 'd.pth'),
    ]
    with pytest.raises(InputError, match=r'a\.py has no checkpoint behind it'):
        chosen_models(['b.pth', 'a.py'])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match='mmsparseswin quickstart'):
        chosen_models([])
    work = tmp_path / 'work_dirs/quickstart'
    work.mkdir(parents=True)
    (work / 'last.pth').touch()
    (work / 'last_checkpoint').write_text(f'{work}/last.pth\n')
    assert chosen_models([]) == [('work_dirs/quickstart/cascade_sparseswin_shapes.py', f'{work}/last.pth')]


def test_two_checkpoints_of_one_config_have_two_names(pairs, tmp_path):
    config, weights = pairs[0]
    other = shutil.copy(weights, tmp_path / 'epoch_2.pth')
    models = Models([(config, weights), (config, other), (config, other)], 'cpu')
    assert models.names == [SPARSE, f'{SPARSE}, epoch_2', f"{SPARSE}, epoch_2'"]
