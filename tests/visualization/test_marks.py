"""Test drawing: colours by class, names that do not cover each other, sheets."""

import numpy as np
from PIL import Image

from mmsparseswin.visualization import marks as module
from mmsparseswin.visualization.marks import Marks, class_colour, draw_marks
from mmsparseswin.visualization.sheets import beside, contact_sheet, with_heading


def test_colours_are_apart_for_many_classes():
    colours = [class_colour(label) for label in range(80)]
    assert len(set(colours)) == 80
    assert class_colour(3) == class_colour(3) == (255, 225, 25)


def test_names_do_not_cover_each_other(monkeypatch):
    """Four boxes at one place: every name finds a place of its own inside the picture."""
    places = []
    write = module._write

    def keep(draw, text, box, colour, size, taken):
        write(draw, text, box, colour, size, taken)
        places[:] = taken

    monkeypatch.setattr(module, '_write', keep)
    boxes = np.array([[40, 40, 90, 80], [41, 40, 90, 80], [40, 42, 88, 80], [39, 40, 90, 84]])
    picture = draw_marks(np.zeros((100, 120, 3), np.uint8), Marks(boxes, np.arange(4)), ('ab', 'cd', 'ef', 'gh'), 300)
    assert picture.size == (300, 250)
    assert len(places) == 4
    assert sum(module._shared(one, other) for i, one in enumerate(places) for other in places[:i]) == 0
    assert all(x1 >= 0 and y1 >= 0 and x2 <= 300 and y2 <= 250 for x1, y1, x2, y2 in places)


def test_a_mask_is_tinted_and_its_surroundings_are_not():
    pixels = np.zeros((20, 30, 3), np.uint8)
    mask = np.zeros((1, 20, 30), bool)
    mask[0, 5:15, 5:25] = True
    marks = Marks(np.array([[5, 5, 25, 15]]), np.array([1]), np.array([0.5]), mask, [''])
    drawn = np.asarray(draw_marks(pixels, marks))
    assert drawn[10, 15].tolist() == [round(0.4 * part) for part in class_colour(1)]
    assert drawn[1, 1].tolist() == [0, 0, 0]
    assert pixels.sum() == 0  # the input stays


def test_a_score_stands_behind_the_name_and_no_object_is_a_picture(monkeypatch):
    texts = []
    monkeypatch.setattr(module, '_write', lambda draw, text, *rest: texts.append(text))
    draw_marks(np.zeros((9, 9, 3), np.uint8), Marks(np.array([[1, 1, 5, 5]]), np.array([7]), np.array([0.456])), ('a',))
    assert texts == ['7 46']
    assert draw_marks(np.zeros((9, 7, 3), np.uint8), Marks(np.zeros((0, 4)), np.zeros(0, int))).size == (7, 9)


def test_sheets_keep_every_tile_whole():
    tiles = [
        Image.new('RGB', size, colour) for size, colour in (((30, 20), 'red'), ((20, 40), 'blue'), ((10, 10), 'lime'))
    ]
    page = np.asarray(contact_sheet(tiles, 2)).reshape(-1, 3)
    for tile in tiles:
        assert (page == tile.getpixel((0, 0))).all(1).sum() == tile.width * tile.height
    assert beside(tiles, gap=0).size == (60, 40)
    assert with_heading(tiles[0], 'one two three four five six', lines=2).height == 20 + 2 * 17 + 4
