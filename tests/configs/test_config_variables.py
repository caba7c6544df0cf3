"""`--cfg-options` on a variable of the config ends in one line that says what to set instead; that takes effect."""

import re
from pathlib import Path

import pytest

from mmsparseswin.cli.run_config import load_config
from mmsparseswin.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs'
DETECTOR, CLASSIFIER = 'quickstart/cascade_sparseswin_shapes.py', 'swin/swin-t_16xb64_in1k.py'
HEADS = 'model.roi_head.bbox_head'


@pytest.mark.parametrize(
    ('path', 'option', 'value', 'instead'),
    [
        (DETECTOR, 'max_epochs', 3, ['train_cfg.max_epochs', 'param_scheduler.1.T_max', 'param_scheduler.1.end']),
        (DETECTOR, 'num_classes', 3, [*(f'{HEADS}.{i}.num_classes' for i in range(3)),
                                      'model.roi_head.mask_head.num_classes']),
        (DETECTOR, 'train_pipeline.2.scale', (128, 96), ['train_dataloader.dataset.pipeline.2.scale']),
        (DETECTOR, 'dataset.type', 'X', [f'{split}_dataloader.dataset.type' for split in ('train', 'val', 'test')]),
        (DETECTOR, 'vis_backends.0.type', 'X', ['visualizer.vis_backends.0.type']),
        (CLASSIFIER, 'train_pipeline.0.type', 'X', ['train_dataloader.dataset.pipeline.0.type']),
        (CLASSIFIER, 'dataset_type', 'X', [f'{split}_dataloader.dataset.type' for split in ('train', 'val', 'test')]),
    ],
)  # fmt: skip
def test_a_variable_is_refused_with_what_was_made_from_it(path, option, value, instead):
    with pytest.raises(InputError, match=rf'--cfg-options {option}=.* changes a variable') as error:
        load_config(str(CONFIGS / path), {option: value})
    named = re.findall(r'(\S+)=\S+', str(error.value).partition('; set ')[2])
    assert sorted(named) == sorted(instead)
    before, after = (load_config(str(CONFIGS / path), options) for options in ({}, dict.fromkeys(instead, value)))
    assert after.to_dict() != before.to_dict()


def test_a_variable_that_went_into_an_expression_is_refused_with_the_section(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text('epochs = 3\nlast = epochs - 1\ntrain_cfg = dict(by_epoch=True, max_epochs=last)\nunused = 5\n')
    with pytest.raises(InputError, match='it went into train_cfg: set the value there'):
        load_config(str(config), {'epochs': 5})
    with pytest.raises(InputError, match='no section was made from it'):
        load_config(str(config), {'unused': 6})


@pytest.mark.parametrize(
    ('word', 'key'), [('lr', 'optim_wrapper.optimizer.lr'), ('max_norm', 'optim_wrapper.clip_grad.max_norm')]
)
def test_the_last_word_of_a_key_is_answered_with_the_key(word, key):
    with pytest.raises(InputError, match=re.escape(f'the config has no {word}; did you mean {key}?')):
        load_config(str(CONFIGS / DETECTOR), {word: 1})


def test_sections_and_data_root_are_changed():
    options = {'train_cfg.max_epochs': 3, 'data_root': '/elsewhere', 'load_from': 'x.pth', 'work_dir': 'here'}
    cfg = load_config(str(CONFIGS / DETECTOR), options)
    assert (cfg.train_cfg.max_epochs, cfg.load_from, cfg.work_dir) == (3, 'x.pth', 'here')
    assert cfg.train_dataloader.dataset.data_root == '/elsewhere'
