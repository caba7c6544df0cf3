"""Test the page's functions on classifiers: a class in the place of boxes, tokens without a map."""

import json

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from mmsparseswin.demo import attention_page, token_page
from mmsparseswin.demo.actions import Actions
from mmsparseswin.demo.models import LOWEST, Models
from mmsparseswin.errors import InputError
from tools import tiny

SPARSE = """
model['backbone'] = dict(
    type='mmsparseswin.SparseSwin', img_size=64, out_type='avg_featmap',
    arch=dict(embed_dims=16, depths=(1, 1, 1), num_heads=(1, 2, 4), num_tokens=9, token_dims=16, token_heads=4))
del model['neck']
"""


@pytest.fixture(scope='module')
def models(tmp_path_factory) -> Models:
    """An untrained classifier with sparse tokens, and one without a backbone of ours."""
    pairs = []
    for name, extra in (('sparse', SPARSE), ('resnet', '')):
        folder = tmp_path_factory.mktemp(name)
        config, weights = folder / f'{name}.py', folder / f'{name}.pth'
        config.write_text(tiny.write_classifier(folder, folder).read_text() + extra)
        torch.manual_seed(0)
        cfg = Config.fromfile(config)
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(classes=tiny.CLASSES))), weights)
        pairs.append((str(config), str(weights)))
    return Models(pairs, 'cpu')


def test_a_class_is_written_above_the_picture(models, pictures, tmp_path):
    actions = Actions(models, tmp_path)
    shown = actions.predict(pictures[0], 'sparse', 'one')
    drawn, table, file = actions.draw(shown, 1.0, 'one')  # a class has no threshold
    (name,) = [name for name in tiny.CLASSES if name in table]
    (record,) = json.loads(file.read_text())
    assert record['class'] == name
    assert f'{100 * record["score"]:.1f} %' in table
    assert drawn.height > 640
    assert record['score'] > LOWEST


def test_its_tokens_collect_and_no_place_asks(models, pictures):
    look = models.look('sparse', pictures[0])
    title = next(iter(look.tokens))
    assert token_page.show(look, title, ('token', 3, 0))[2].startswith('**Token 4 of 9**')
    picture, board, text = token_page.show(look, title, ('place', 0, 0))
    assert text.startswith('no place asks tokens in this model')
    assert board.tobytes() == token_page.show(look, title, None)[1].tobytes()
    assert picture.tobytes() != token_page.show(look, title, None)[0].tobytes()
    for block in attention_page.block_names(look):
        attention_page.show(look, block, 1, False, None)


def test_attention_needs_a_backbone_of_ours(models, pictures):
    assert len(models.predict('resnet', pictures[0])) == 1
    with pytest.raises(InputError, match='holds no backbone of mmsparseswin'):
        models.look('resnet', pictures[0])
