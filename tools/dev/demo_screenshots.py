"""Take the pictures of the demo page and of the reports in the docs, docs/images/demo*.png and the like.

    cd FOLDER                                                   # where `mmsparseswin quickstart` has run
    python CLONE/tools/dev/demo_screenshots.py                  # all; --only demo, or --only reports

Needs Debian's chromium and the package playwright. Each picture gets a palette of 256 colours.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / 'docs' / 'images'
WORK = Path('work_dirs/quickstart')
CONFIG = WORK / 'cascade_sparseswin_shapes.py'
PATIENCE = 300_000  # ms


def run(tool: str, *arguments: object) -> None:
    """Run a tool."""
    subprocess.run([sys.executable, str(ROOT / 'tools' / tool), *map(str, arguments)], check=True)


@contextmanager
def demo() -> Iterator[str]:
    """Serve the page of the quickstart's model, and yield its address."""
    command = [sys.executable, '-u', str(ROOT / 'tools/demo.py')]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            line = next((line for line in server.stdout if 'open http' in line), None)
            if line is None:
                sys.exit('the page did not start')
            yield line.split('open ')[1].split()[0]
        finally:
            server.terminate()


def save(tab: Any, name: str, **options: Any) -> None:
    """Write what the tab shows as docs/images/NAME.png."""
    tab.wait_for_timeout(1500)  # the last answer is drawn
    path = IMAGES / f'{name}.png'
    tab.screenshot(path=path, **options)
    picture = Image.open(path).convert('RGB')
    colours = picture.quantize(256)
    picture.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
    print(f'{path}: {picture.width} x {picture.height}, {path.stat().st_size // 1000} kB')


def open_sample(tab: Any, address: str) -> None:
    """Open the page and choose a sample."""
    tab.set_default_timeout(PATIENCE)
    tab.goto(address)
    tab.locator('#samples img').nth(3).click()
    tab.wait_for_selector('#drawn img')


def click_at(tab: Any, selector: str, x: float, y: float) -> None:
    """Click a place of a picture, given from 0 to 1."""
    box = tab.locator(f'{selector} img').bounding_box()
    tab.mouse.click(box['x'] + x * box['width'], box['y'] + y * box['height'])
    tab.wait_for_timeout(3000)


def set_number(tab: Any, selector: str, value: float) -> None:
    """Set a slider by its number."""
    tab.fill(f'{selector} input[type=number]', str(value))
    tab.press(f'{selector} input[type=number]', 'Enter')


def shoot_demo(new_tab: Callable[..., Any]) -> None:
    """Take the pictures of the page: wide and light, dark, and as narrow as a telephone."""
    with demo() as address:
        tab = new_tab(1280, 1010)
        open_sample(tab, address)
        save(tab, 'demo')
        tab.get_by_role('tab', name='Tokens').click()
        tab.wait_for_selector('#board img')
        click_at(tab, '#place', 0.7, 0.3)
        save(tab, 'demo_tokens', clip=dict(x=0, y=0, width=1280, height=700))
        tab.get_by_role('tab', name='Compare').click()
        set_number(tab, '#share-2', 0.5)
        tab.click('#compare')
        tab.wait_for_selector('#measured table')
        save(tab, 'demo_compare')
        dark = new_tab(1280, 1080, color_scheme='dark')
        open_sample(dark, address)
        dark.get_by_role('tab', name='Attention').click()
        dark.wait_for_selector('#attention img')
        click_at(dark, '#attention', 0.7, 0.3)
        save(dark, 'demo_attention')
        narrow = new_tab(390, 1500)
        open_sample(narrow, address)
        narrow.get_by_role('tab', name='Tokens').click()
        narrow.wait_for_selector('#board img')
        click_at(narrow, '#board', 0.5, 0.5)
        save(narrow, 'demo_narrow', full_page=True)


def shoot_reports(new_tab: Callable[..., Any]) -> None:
    """Write the reports of the quickstart's data and model, and take pictures of their beginnings."""
    out = Path('reports')
    out.mkdir(exist_ok=True)
    run('visualization/dataset_report.py', CONFIG, '--out', out / 'dataset_report.html')
    predictions = WORK / 'predictions.bbox.json'  # of the quickstart's own test
    run('visualization/mistakes.py', CONFIG, '--predictions', predictions, '--out-dir', out / 'mistakes')
    for name, path in (('dataset_report', out / 'dataset_report.html'), ('mistakes', out / 'mistakes/report.html')):
        tab = new_tab(1000, 1100)
        tab.goto(path.resolve().as_uri())
        save(tab, f'report_{name}')
    run('visualization/curves.py', WORK, '--out', IMAGES / 'report_curves.png')


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', choices=['demo', 'reports'], help='default: both')
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which('chromium')
    if chromium is None:
        sys.exit('this needs a browser: apt-get install chromium')
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=['--no-sandbox'])

        def new_tab(width: int, height: int, **options: Any) -> Any:
            return browser.new_page(viewport=dict(width=width, height=height), **options)

        if args.only != 'reports':
            shoot_demo(new_tab)
        if args.only != 'demo':
            shoot_reports(new_tab)


if __name__ == '__main__':
    main()
