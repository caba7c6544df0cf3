"""Attention, S3 and odd sizes against other libraries, on random weights that went through the converter.

Logits and maps of every source are compared in tests/checkpoints/test_sources.py.
"""

import pytest
import torch
import torch.nn.functional as F
from golden import load_case
from oracles import build, randomise, worst

from mmsparseswin.analysis import return_attention
from mmsparseswin.checkpoints import convert

LIMIT = 1e-4


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def image(batch, height, width):
    return torch.randn(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


# 224: whole windows, the last stage is one. 260 x 324: padded windows (grids 65 x 81, 33 x 41, 17 x 21 and 9 x 11).
@pytest.mark.parametrize('size', [(224, 224), (260, 324)])
def test_attention_of_every_block_is_that_of_transformers(size):
    from transformers import SwinConfig, SwinForImageClassification
    from transformers.models.swin.modeling_swin import SwinLayer

    cfg = SwinConfig(embed_dim=32, depths=[2, 2, 4, 2], num_heads=[1, 2, 4, 8], num_labels=5)
    theirs = randomise(SwinForImageClassification(cfg))
    x, expected = image(2, *size), []
    for layer in theirs.modules():  # output_attentions returns only the last block of each stage
        if isinstance(layer, SwinLayer):
            layer.register_forward_hook(lambda m, args, out: expected.append(out[1]))
    last = theirs(x, output_attentions=True).attentions
    _, records = return_attention(build(convert(theirs.state_dict())), x)
    assert len(records) == len(expected) == 10
    for record, weights in zip(records, expected, strict=True):
        assert worst(record.weights, weights) < LIMIT
    ends = [i for i, record in enumerate(records) if record.block == cfg.depths[record.stage] - 1]
    for i, weights in zip(ends, last, strict=True):
        assert worst(records[i].weights, weights) < LIMIT
    assert [r.shift for r in records] == [0, 3, 0, 3, 0, 3, 0, 3, 0, 0 if size == (224, 224) else 3]


@pytest.mark.parametrize('name', ['tiny', 'small', 'base'])
def test_s3_logits_are_those_of_timm(name):
    import timm

    theirs = randomise(timm.create_model(f'swin_s3_{name}_224', num_classes=7))
    converted = convert(theirs.state_dict())
    assert converted.model['backbone']['arch'] == f's3-{name}'
    ours, x = build(converted), image(1, 224, 224)
    logits, records = return_attention(ours, x)
    assert worst(ours(x), theirs(x)) < LIMIT
    assert worst(logits, theirs(x)) < LIMIT  # explicit softmax
    # docs/models/swin.md, 'Attention weights'
    windows = {'tiny': (7, 7, 14, 7), 'small': (14, 14, 14, 7), 'base': (7, 7, 14, 7)}[name]
    for record in records:
        side = windows[record.stage]
        count = (56 // 2**record.stage // side) ** 2
        assert record.weights.shape == (count, 3 * 2**record.stage, side**2, side**2)
        assert record.shift == (side // 2 if record.block % 2 and count > 1 else 0)


# Sides that no patch, no merging and no window divides; and images smaller than a window or than a patch of stage 4.
@pytest.mark.parametrize('size', [(223, 301), (97, 230), (33, 65), (29, 31)])
def test_classification_at_odd_sizes_is_that_of_torchvision(size):
    from torchvision.models.swin_transformer import SwinTransformer

    theirs = randomise(SwinTransformer([4, 4], 32, [2, 2, 4, 2], [1, 2, 4, 8], [7, 7], num_classes=5))
    x = image(2, *size)
    # torchvision's patches drop what is left over at the border; ours pad it.
    whole = F.pad(x, (0, -size[1] % 4, 0, -size[0] % 4))
    assert worst(build(convert(theirs.state_dict()))(x), theirs(whole)) < LIMIT


def test_sparse_token_attention_is_the_published_one():
    case = load_case('sparseswin_cls_tiny_224')
    model, maps = build(convert(case.state_dict)), []
    model.backbone.stages[3].convert.register_forward_hook(lambda m, args, out: maps.append(out))
    logits, records = return_attention(model, case.image)
    tokens = [record.weights for record in records if record.kind == 'tokens']
    got = {'logits': logits, 'attention_0': tokens[0], 'attention_1': tokens[1], 'converter_map': maps[0]}
    assert set(got) == set(case.content['outputs'])
    for name, tensor in got.items():
        assert case.difference(tensor, name) < LIMIT, name
