"""Test activation maps where the answer is known, and the plane of features."""

import numpy as np
import pytest
import torch
from torch import nn

from mmsparseswin.errors import InputError
from mmsparseswin.visualization.class_activation import ClassScores, activation_map, as_map, feature_maps, find_layers
from mmsparseswin.visualization.plane import draw_plane, lay_out, read_features


class Corners(nn.Module):
    """Class 0 is red, class 1 is green: the mean of the channel."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 3, 1, bias=False)
        nn.init.eye_(self.features.weight.data.view(3, 3))

    def forward(self, images, mode):
        assert mode == 'tensor'
        return self.features(images).mean((2, 3))[:, :2]


@pytest.fixture
def images():
    """Red at the upper left, green at the lower right."""
    images = torch.zeros(1, 3, 24, 32)
    images[0, 0, :8, :8] = 1
    images[0, 1, 16:, 24:] = 1
    return images


@pytest.mark.parametrize('method', ['gradcam', 'hirescam', 'layercam'])
def test_the_map_lies_on_what_makes_the_class(images, method):
    pytest.importorskip('pytorch_grad_cam')
    scores = ClassScores(Corners(), 2, detects=False)
    for label, (inside, outside) in enumerate([((4, 4), (20, 28)), ((20, 28), (4, 4))]):
        heat = activation_map(scores, images, [scores.model.features], method, label)
        assert heat.shape == (24, 32)
        assert heat[inside] == pytest.approx(1, abs=1e-3)
        assert heat[outside] == pytest.approx(0, abs=1e-3)


def test_feature_maps_are_those_that_vary_most(images):
    scores = ClassScores(Corners(), 2, detects=False)
    maps = feature_maps(scores, images, scores.model.features, 2)
    assert {channel for channel, _ in maps} == {0, 1}  # blue is 0 everywhere
    assert all((values.min(), values.max()) == (0, 1) for _, values in maps)


def test_tokens_get_the_shape_of_the_image():
    tokens = torch.arange(2 * 6 * 5.0).view(2, 6, 5)
    assert as_map(tokens, (64, 96)).shape == (2, 5, 2, 3)
    assert as_map(tokens, (96, 64)).shape == (2, 5, 3, 2)
    assert torch.equal(as_map(tokens, (64, 96))[1, :, 1, 2], tokens[1, 5])
    assert as_map((torch.zeros(1, 2, 3, 4), None), (9, 9)).shape == (1, 2, 3, 4)


def test_layers_have_a_place_in_the_image():
    from mmsparseswin import create_model

    model = nn.ModuleDict({'backbone': create_model('sparseswin-tiny')})
    ((name, _),) = find_layers(model, ())
    assert name == 'backbone.stages.2.blocks.5'  # the fourth stage has sparse tokens
    with pytest.raises(InputError, match='--layer neck: no such layer; the model has backbone'):
        find_layers(model, ['neck'])
    with pytest.raises(InputError, match='name a layer with --layer'):
        find_layers(nn.Linear(1, 1), ())


def test_groups_stay_together_in_the_plane(tmp_path):
    pytest.importorskip('sklearn')
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(centre, 0.1, (20, 8)) for centre in (0, 5)]).astype(np.float32)
    files = np.array([f'{group}/{index}.jpg' for group in 'ab' for index in range(20)])
    np.savez(tmp_path / 'features.npz', features=features, files=files)
    read, names = read_features(str(tmp_path / 'features.npz'))
    places = lay_out(read, 10, 0)
    first, second = places[:20], places[20:]
    apart = np.linalg.norm(first.mean(0) - second.mean(0))
    assert apart > 2 * max(np.linalg.norm(part - part.mean(0), axis=1).max() for part in (first, second))
    chart = draw_plane(places, [name[0] for name in names])
    assert [text.get_text() for text in chart.legends[0].get_texts()] == ['a', 'b']
    np.savez(tmp_path / 'other.npz', x=features)
    with pytest.raises(InputError, match='is no features'):
        read_features(str(tmp_path / 'other.npz'))
