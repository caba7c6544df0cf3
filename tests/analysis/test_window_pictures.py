import numpy as np
import pytest
import torch
from torch import nn

from mmsparseswin import Swin
from mmsparseswin.analysis.window_pictures import draw_windows, record_windows
from mmsparseswin.errors import InputError

SLIM = dict(embed_dims=16, depths=(2, 2), num_heads=(1, 2))


def build(**options):
    torch.manual_seed(0)
    return Swin(SLIM, img_size=96, window_size=3, **options).eval()


def test_the_record_says_which_tokens_each_phase_computes():
    model, x = build(keep_windows=(0.3, 1)), torch.randn(2, 3, 50, 70)
    changed = []
    for block in model.stages[0].blocks:
        block.register_forward_hook(lambda m, args, out: changed.append((out != args[0]).any(-1)))
    with torch.no_grad(), record_windows(model) as seen:
        model(x)
    ((inputs, stages),) = seen
    assert torch.equal(inputs, x)
    assert [(one.stage, one.shift) for one in stages] == [(0, False), (0, True), (1, False), (1, True)]
    for record, moved in zip(stages[:2], changed, strict=True):
        assert torch.equal(record.tokens.flatten(1), moved)
        assert record.windows == (2 * 9, 2 * 30)  # 0.3 of 5 x 6 windows
    assert all(record.tokens.all() and record.windows is None for record in stages[2:])


def test_the_picture_is_dark_where_both_phases_leave_windows_out():
    model = build(keep_windows=(0.2, 1))
    x = torch.full((1, 4, 120, 120), 9.0)
    x[:, 3] = 0
    x[:, :3, :96, :72] = 128 + torch.randn(3, 96, 72)
    x[:, 3, :96, :72] = 1
    with torch.no_grad(), record_windows(model) as seen:
        model(x)
    figure = draw_windows(seen[0])
    pictures = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    assert [picture.shape for picture in pictures] == [(96, 72, 3)] * 3, 'the padding is drawn'
    assert [axes.get_title() for axes in figure.axes[1:]] == ['stage 0: 20 of 96 windows', 'stage 1: all windows']
    assert np.array_equal(pictures[0], pictures[2])
    both = ~(seen[0].stages[0].tokens | seen[0].stages[1].tokens)[0, :24, :18]
    bright = pictures[1].mean(-1) / pictures[0].mean(-1)
    assert both.any()
    assert (bright.reshape(24, 4, 18, 4).mean((1, 3))[both.numpy()] < 0.2).all()
    assert (bright.reshape(24, 4, 18, 4).mean((1, 3))[~both.numpy()] > 0.4).all()


def test_models_that_leave_nothing_out_are_refused():
    for model, words in [(nn.Linear(1, 1), 'no backbone'), (build(), 'keeps all windows')]:
        with pytest.raises(InputError, match=words), record_windows(model):
            pass
