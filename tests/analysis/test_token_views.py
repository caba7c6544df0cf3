"""Test where sparse and semantic tokens collect from, and which of them a place asks."""

import pytest
import torch
from test_attention_maps import BUILDERS

from mmsparseswin.analysis import record_attention
from mmsparseswin.analysis.attention_views import window_numbers
from mmsparseswin.analysis.token_views import record_features, token_views
from mmsparseswin.errors import InputError
from mmsparseswin.layers.sparse_stage import SparseStage

SIZE = (92, 72)  # not square, and no multiple of what a token covers


def record(name, image=None):
    torch.manual_seed(0)
    model = BUILDERS[name]().eval()
    torch.manual_seed(1)
    image = torch.rand(1, 3, *SIZE) if image is None else image
    with torch.no_grad(), record_attention(model) as records, record_features(model) as features:
        model(image)
    return model, records, features


def look(name, image=None):
    model, records, features = record(name, image)
    return model, records, token_views(model, records, features)


@pytest.mark.parametrize('name', [name for name in BUILDERS if name != 'swin'])
def test_shares_sum_to_one_at_every_token_and_place(name):
    _, _, views = look(name)
    assert views
    for view in views.values():
        assert len(view) <= view.layout[0] * view.layout[1] < 2 * len(view)
        for token in range(len(view)):
            assert float(view.collects(token).sum()) == pytest.approx(1, abs=1e-4)
        if name in ('sparse-mlp', 'sparse-pooled'):
            with pytest.raises(InputError, match='no place asks tokens'):
                view.asks(0, 0)
        elif name == 'sparse-tile':
            assert len(view) % 9 == 0
        else:
            shares = view.asks(view.places[0] - 1, view.places[1] - 1)
            assert shares.shape == (len(view),)
            assert float(shares.sum()) == pytest.approx(1, abs=1e-4)


def test_a_token_changes_by_what_its_places_add():
    """The token before its blocks is the sum over places of weight times features, plus the bias."""
    model, _, views = look('sparse')
    stage = next(module for module in model.modules() if isinstance(module, SparseStage))
    seen = {}
    stage.convert.register_forward_hook(lambda _m, _a, out: seen.update(features=out))
    stage.blocks[0].register_forward_pre_hook(lambda _m, args: seen.update(tokens=args[0]))
    torch.manual_seed(1)
    with torch.no_grad():
        model(torch.rand(1, 3, *SIZE))
    features, token = seen['features'][0], 4
    rows = stage.weight_at(tuple(features.shape[1:]))[token].detach()
    parts = rows * features.flatten(1)  # (E, places)
    whole = seen['tokens'][0, token] - stage.lin_t.bias[token].detach()
    torch.testing.assert_close(parts.sum(1), whole, rtol=1e-3, atol=1e-5)
    lengths = parts.norm(dim=0)
    adds, weighs = views.values()
    torch.testing.assert_close(adds.collects(token).flatten(), lengths / lengths.sum())
    torch.testing.assert_close(weighs.collects(token).flatten(), rows.abs() / rows.abs().sum())


def test_places_ask_the_tokens_that_the_map_is_made_of():
    _, records, views = look('sparse')
    weights = next(record.weights for record in records if record.kind == 'map')
    view = next(iter(views.values()))
    assert view.places == (3, 3)
    torch.testing.assert_close(view.asks(2, 1), weights[0, :, 2 * 3 + 1].mean(0))


def test_semantic_tokens_lie_where_they_look():
    """With one token a window that looks around it, the middle of what a token sees follows its place."""
    _, _, views = look('semantic')
    title, view = next(iter(views.items()))
    assert 'unit 1: block 2 looks around their windows' in title
    assert view.by_place
    rows = torch.arange(view.places[0]).float()
    top, bottom = view.collects(0), view.collects(len(view) - 1)
    assert float((top.sum(1) * rows).sum()) < float((bottom.sum(1) * rows).sum())


def test_weights_say_the_same_of_every_picture_and_additions_do_not():
    torch.manual_seed(2)
    first, second = look('sparse')[2], look('sparse', torch.rand(1, 3, *SIZE) ** 4)[2]
    adds, weighs = first
    torch.testing.assert_close(first[weighs].collects(3), second[weighs].collects(3))
    assert not torch.allclose(first[adds].collects(3), second[adds].collects(3))


def test_a_model_without_such_tokens_is_refused_in_words():
    with pytest.raises(InputError, match='neither sparse tokens'):
        look('swin')


def test_tokens_of_one_window_have_one_number():
    records = record('swin')[1]
    plain, shifted = records[:2]
    numbers = window_numbers(plain)
    assert numbers.shape == (23, 18)
    assert (numbers[:7, :7] == numbers[0, 0]).all()
    assert numbers[0, 7] != numbers[0, 0]
    assert window_numbers(shifted)[0, 0] != window_numbers(shifted)[3, 3]
