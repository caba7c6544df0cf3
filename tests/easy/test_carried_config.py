"""Weights that carry their config predict without naming it, and nothing in it is run."""

import numpy as np
import pytest
import torch
from mmengine.config import Config

import mmsparseswin
from mmsparseswin.cli.carried_config import _read_text
from mmsparseswin.errors import InputError


def same(found, wanted) -> None:
    assert found.classes == wanted.classes
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_allclose(found.boxes, wanted.boxes, atol=0.02)


@pytest.fixture(scope='module')
def wanted(model, folder):
    return model.predict(folder / 'data/images/000.jpg', score=0.0, progress=False)[0]


def test_a_checkpoint_of_a_training(model, folder, wanted):
    loaded = mmsparseswin.load(model.weights)
    same(loaded.predict(folder / 'data/images/000.jpg', score=0.0, progress=False)[0], wanted)
    with pytest.raises(InputError, match='the config has no train_dataloader'):
        loaded.train(folder / 'data', work_dir=folder / 'none')
    with pytest.raises(InputError, match='the config has no test_evaluator'):
        loaded.evaluate(folder / 'data', work_dir=folder / 'none')


def test_a_folder_of_save_pretrained(model, folder, wanted, tmp_path):
    inner = model._load().inferencer.model
    mmsparseswin.save_pretrained(inner, tmp_path / 'saved', config=model.cfg)
    loaded = mmsparseswin.load(tmp_path / 'saved')
    same(loaded.predict(folder / 'data/images/000.jpg', score=0.0, progress=False)[0], wanted)
    (tmp_path / 'saved/model.safetensors').unlink()
    with pytest.raises(InputError, match=r'has no model\.safetensors'):
        mmsparseswin.load(tmp_path / 'saved')


def rewrite(model, path, change) -> None:
    content = torch.load(model.weights, weights_only=False)
    change(content['meta'])
    torch.save(content, path)


@pytest.mark.parametrize(
    ('old', 'new', 'error'),
    [
        ("type='RetinaNet'", "type=__import__('os').system('touch ran')", r'is not data \(line \d+ calls something\)'),
        ("type='RetinaNet'", "type='os.system', command='touch ran'", 'os.system'),
        ("type='nms'", 'type=\'__import__("os").system("touch ran")\'', 'test_cfg.nms.type'),
        ('model = dict(', 'model, ran = open("ran", "w"), dict(', 'is not data'),
    ],
)
def test_a_hostile_config_is_refused_and_not_run(model, tmp_path, monkeypatch, old, new, error):
    monkeypatch.chdir(tmp_path)

    def change(meta):
        assert old in meta['cfg']
        meta['cfg'] = meta['cfg'].replace(old, new)

    rewrite(model, tmp_path / 'bad.pth', change)
    with pytest.raises(InputError, match=error) as caught:
        mmsparseswin.load(tmp_path / 'bad.pth')
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'ran').exists()


def test_weights_without_a_config_say_what_to_do(model, tmp_path):
    rewrite(model, tmp_path / 'bare.pth', lambda meta: meta.pop('cfg'))
    with pytest.raises(InputError, match=r'holds no config: load\(CONFIG, weights='):
        mmsparseswin.load(tmp_path / 'bare.pth')
    with pytest.raises(InputError, match='no checkpoint at'):
        mmsparseswin.load(tmp_path / 'nowhere.pth')
    with pytest.raises(InputError, match='there is no such folder'):
        mmsparseswin.load(tmp_path / 'nowhere')
    with pytest.raises(InputError, match='has no config'):
        mmsparseswin.load(tmp_path)


def test_the_text_of_a_config_is_read_as_mmengine_writes_it():
    model = dict(type='A', b=(1, -2.5), c=[None, True], d={'e f': 'g', 'h': {1: 2}}, i=dict(j=()))
    text = Config(dict(default_scope='mmdet', model=model, other=float('inf'))).pretty_text
    assert _read_text(text, 'file') == dict(default_scope='mmdet', model=model)
