"""Check the order of imports: no circle, no arrow that runs up, and a picture of it that is up to date."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DRAW = runpy.run_path(str(ROOT / 'tools' / 'dev' / 'draw_architecture.py'))
Edge = DRAW['Edge']


@pytest.fixture(scope='module')
def edges():
    return DRAW['read_edges'](DRAW['module_names']())


def test_imports_run_one_way(edges):
    assert DRAW['wrong_edges'](edges) == []


def test_imports_form_no_circle(edges):
    assert DRAW['find_circle'](edges) == []


def test_the_graph_is_read_and_the_picture_is_up_to_date(edges):
    assert Edge('mmsparseswin.backbones.swin_family', 'mmsparseswin.layers.swin_block', False) in edges
    assert any(edge.lazy for edge in edges)
    page = DRAW['PAGE'].read_text(encoding='utf-8')
    assert DRAW['redraw'](page, DRAW['mermaid'](edges)) == page, 'run: python tools/dev/draw_architecture.py'


def test_wrong_imports_are_found(tmp_path):
    """A fake package: a layer that imports a backbone inside a function, rooms of one level, and a circle."""
    files = {
        'layers/low.py': 'def build():\n    from mmsparseswin.backbones.high import Swin\n',
        'backbones/high.py': 'from typing import TYPE_CHECKING\nimport mmsparseswin.layers.low\n'
        'if TYPE_CHECKING:\n    from mmsparseswin.cli import run_tool\n',
        'engine/hook.py': 'import mmsparseswin.detection.head',
        'detection/head.py': '',
        'cli/run_tool.py': '',
    }
    for name, code in files.items():
        (tmp_path / 'mmsparseswin' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'mmsparseswin' / name).write_text(code)
    edges = DRAW['read_edges'](DRAW['module_names'](tmp_path))
    low, high = 'mmsparseswin.layers.low', 'mmsparseswin.backbones.high'
    up = Edge(low, high, True)
    across = Edge('mmsparseswin.engine.hook', 'mmsparseswin.detection.head', False)
    assert edges == [Edge(high, low, False), across, up]
    assert DRAW['wrong_edges'](edges) == [across, up]
    assert sorted(set(DRAW['find_circle'](edges))) == [high, low]
    assert DRAW['find_circle'](edges[:2]) == []
