"""Use the page in a real browser: Debian's chromium, driven by playwright."""

import json
import shutil
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from mmsparseswin.demo import serving
from mmsparseswin.demo.models import LOWEST

CHROMIUM = shutil.which('chromium')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason='needs a browser: apt-get install chromium'),
]
playwright = pytest.importorskip('playwright.sync_api', reason='needs the package playwright: pip install playwright')
SPARSE, SEMANTIC = 'cascade_sparseswin_smoke', 'cascade_stvitr_smoke'
PATIENCE = 120_000  # ms: the machine may be busy


@pytest.fixture(scope='module')
def place(models, pictures):
    """Serve the page, and yield its address and folder."""
    with serving.page_folder() as folder:
        blocks, address = serving.launch(models, pictures, folder, '127.0.0.1', None, None)
        yield address, folder
        blocks.close()


@pytest.fixture(scope='module')
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=['--no-sandbox'])
        yield found
        found.close()


@pytest.fixture
def page(browser, place):
    """The page in a tab of its own, which asks no other host for anything."""
    with browser.new_context(viewport=dict(width=1280, height=900)) as context:
        tab = opened(context, place[0])
        yield tab
    assert [url for url in tab.asked if not url.startswith((place[0], 'data:', 'blob:'))] == []


def opened(context, address):
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.asked = []
    tab.on('request', lambda request: tab.asked.append(request.url))
    tab.goto(address)
    tab.wait_for_selector('#picture input[type=file]', state='attached')
    return tab


def give(tab, path) -> None:
    tab.set_input_files('#picture input[type=file]', str(path))


def set_score(tab, value: float) -> None:
    tab.fill('#score input[type=number]', str(value))
    tab.press('#score input[type=number]', 'Enter')


def wait_for_text(tab, selector: str, text: str) -> None:
    playwright.expect(tab.locator(selector)).to_contain_text(text, timeout=PATIENCE)


def downloaded(tab) -> dict:
    """Return the JSON that the button gives."""
    with tab.expect_download() as download:
        tab.click('#json')
    return json.loads(download.value.path().read_text())


def test_an_upload_is_drawn_and_the_slider_draws_it_again(page, models, pictures, monkeypatch):
    expected = models.predict(SPARSE, pictures[0])
    set_score(page, LOWEST)
    give(page, pictures[0])
    wait_for_text(page, '#table', f'{len(expected)} of {len(expected)} objects')
    page.wait_for_function("document.querySelector('#drawn img').naturalHeight == 640")
    assert len(downloaded(page)['annotations']) == len(expected)
    monkeypatch.setattr(models, 'predict', None)
    between = round(float(np.sort(expected.scores)[-2:].mean()), 2)
    left = int((expected.scores >= between).sum())
    drawn = page.get_attribute('#drawn img', 'src')
    set_score(page, between)
    wait_for_text(page, '#table', f'{left} of {len(expected)} objects' if left else 'No object scores so much')
    page.wait_for_function("drawn => document.querySelector('#drawn img').src != drawn", arg=drawn)
    found = downloaded(page)
    assert len(found['annotations']) == left
    assert found['images'][0]['file_name'] == pictures[0].name


def test_clicks_show_what_tokens_and_places_look_at(page):
    page.locator('#samples img').nth(1).click()
    page.get_by_role('tab', name='Tokens').click()
    wait_for_text(page, '#token-text', 'Click one of the 9 tokens')
    board = page.locator('#board img').bounding_box()
    page.mouse.click(board['x'] + board['width'] * 0.5, board['y'] + board['height'] * 0.5)
    wait_for_text(page, '#token-text', 'Token 5 of 9')
    place = page.locator('#place img').bounding_box()
    page.mouse.click(place['x'] + place['width'] * 0.9, place['y'] + place['height'] * 0.1)
    wait_for_text(page, '#token-text', 'The marked place asks token')
    page.get_by_role('tab', name='Attention').click()
    wait_for_text(page, '#attention-text', 'What the marked place looks at')
    page.fill('#head input[type=number]', '2')
    page.press('#head input[type=number]', 'Enter')
    wait_for_text(page, '#attention-text', 'head 2 of')
    page.get_by_label('that each place receives').check()
    wait_for_text(page, '#attention-text', 'What each place receives')


def test_two_models_side_by_side(page, pictures):
    page.get_by_role('tab', name='Compare').click()
    page.click('#compare')
    wait_for_text(page, 'body', 'choose a picture first')
    give(page, pictures[2])
    page.wait_for_selector('#drawn img', state='attached')
    page.click('#compare')
    wait_for_text(page, '#measured', 'GMACs of the network')
    rows = page.locator('#measured tbody tr').all_inner_texts()
    assert len(rows) == 5
    assert float(rows[1].split('\t')[1]) > 0
    assert page.locator('#side-2 img').count() == 1


def test_a_bad_file_is_refused_in_words(page, pictures, tmp_path):
    give(page, pictures[0])
    page.wait_for_selector('#drawn img')
    (tmp_path / 'notes.jpg').write_text('no picture')
    page.locator('#picture').get_by_label('Remove Image').or_(page.locator('#picture button').first).first.click()
    give(page, tmp_path / 'notes.jpg')
    wait_for_text(page, '#refused', 'notes.jpg is no picture that can be read')
    assert page.locator('#drawn img').count() == 0
    assert 'Traceback' not in page.content()


def test_a_video_comes_back_drawn_and_plays(page, tmp_path):
    path = tmp_path / 'film.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'mp4v'), 10, (64, 48))
    for shade in range(6):
        writer.write(np.full((48, 64, 3), 40 * shade, np.uint8))
    writer.release()
    page.get_by_role('tab', name='Video').click()
    page.set_input_files('#video input[type=file]', str(path))
    page.wait_for_timeout(1000)
    page.click('#draw-video')
    wait_for_text(page, '#video-text', '6 frames')
    page.wait_for_selector('#drawn-video video', state='attached')
    page.wait_for_function("document.querySelector('#drawn-video video')?.readyState >= 2")
    film = "document.querySelector('#drawn-video video')"
    seconds, width = page.evaluate(f'[{film}.duration, {film}.videoWidth]')
    assert seconds == pytest.approx(0.6, abs=0.15)
    assert width == 640


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_the_page_fits_a_telephone(browser, place, pictures, scheme):
    with browser.new_context(viewport=dict(width=390, height=844), color_scheme=scheme) as context:
        tab = opened(context, place[0])
        give(tab, pictures[0])
        tab.wait_for_selector('#drawn img')
        assert tab.evaluate('document.documentElement.scrollWidth') <= 390
        assert tab.evaluate("document.body.classList.contains('dark')") == (scheme == 'dark')


def test_twenty_people_at_once_get_their_own_results(browser, place, models, tmp_path):
    rng = np.random.default_rng(0)
    paths, expected = [], []
    for index in range(20):
        path = tmp_path / f'given_{index:02d}.png'
        Image.fromarray(rng.integers(0, 255, (40 + 2 * index, 64, 3), dtype=np.uint8)).save(path)
        paths.append(path)
        expected.append(len(models.predict(SPARSE, path)))
    contexts = [browser.new_context() for _ in paths]
    tabs = [opened(context, place[0]) for context in contexts]
    for tab in tabs:
        set_score(tab, LOWEST)
    for tab, path in zip(tabs, paths, strict=True):  # none waits for another
        give(tab, path)
    for index, (tab, path) in enumerate(zip(tabs, paths, strict=True)):
        wait_for_text(tab, '#table', 'objects')
        found = downloaded(tab)
        assert found['images'] == [dict(id=1, file_name=path.name, width=64, height=40 + 2 * index)]
        assert len(found['annotations']) == expected[index]
    sessions = place[1] / 'sessions'
    assert len(list(sessions.glob('*/given/given_*.png'))) == 20
    for context in contexts:
        context.close()
    end = time.monotonic() + 60
    while list(sessions.glob('*/given/given_*.png')) and time.monotonic() < end:
        time.sleep(0.5)
    assert list(sessions.glob('*/given/given_*.png')) == []
