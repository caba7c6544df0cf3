"""Compare STViT-R's published MACs with closed forms, and the terms that ours avoids (docs/flops.md)."""

import pytest
import torch
from torch import nn

from mmsparseswin import STViTR
from mmsparseswin.analysis.flops import count_flops

W = 7  # side of a window
PARTS = [('small', 96), ('base', 128)]  # arch and channels of stage 1; stage 3 has four times as many


def counted(model, height, width):
    return count_flops(model.eval(), torch.zeros(1, 3, height, width, device='meta'))


def swin_block(c, rows, cols):
    """Count projections and attention of padded windows, MLP of the tokens."""
    slots = -(-rows // W) * W * -(-cols // W) * W
    return 4 * c**2 * slots + 2 * c * W**2 * slots + 8 * c**2 * rows * cols


def cross_block(c, queries, keys, pairs, tokens):
    """Count q and proj of ``queries``, k and v of ``keys``, scores and sums of ``pairs``, MLP of ``tokens``."""
    return 2 * c**2 * queries + 2 * c**2 * keys + 2 * c * pairs + 8 * c**2 * tokens


def stem(c, height, width):
    return 27 * c // 2 * (height // 2) * (width // 2) + 9 * c // 2 * c * (height // 4) * (width // 4)


def merging_to(stage, c, rows, cols):
    """Count patch merging to ``rows`` x ``cols`` tokens of stage 1, 2 or 3; ``c`` channels in stage 0."""
    return 2 * (c * 2**stage) ** 2 * rows * cols


def outside_stage_3(c, height, width):
    """Count the stem, stages 1, 2 and 4 with two blocks each, and the patch merging of all."""
    total, rows, cols = stem(c, height, width), height // 4, width // 4
    for stage in range(4):
        if stage:
            rows, cols = rows // 2, cols // 2
            total += merging_to(stage, c, rows, cols)
        if stage != 2:
            total += 2 * swin_block(c * 2**stage, rows, cols)
    return total


# 800 x 1280: 50 x 80 image tokens, padded to 56 x 84; 96 windows of 9 semantic tokens.
IMAGE, PADDED, SLOTS = 50 * 80, 56 * 84, 96 * 9


@pytest.mark.parametrize(('arch', 'c'), PARTS)
def test_the_hoisted_detector(arch, c):
    c3 = 4 * c
    # docs/models/stvit_r.md, 'Detector projections': k and v of the padded map once, then 14 x 14, 21 x 21 and 27 x 27
    # keys around each window.
    unit = [
        swin_block(c3, 50, 80),
        cross_block(c3, SLOTS, PADDED, SLOTS * 14**2, SLOTS),
        cross_block(c3, SLOTS, PADDED, SLOTS * 21**2, SLOTS),
        cross_block(c3, SLOTS, SLOTS, SLOTS * 9, SLOTS),
        cross_block(c3, SLOTS, SLOTS, SLOTS**2, SLOTS),
        cross_block(c3, PADDED, SLOTS, PADDED * 27**2, IMAGE),
    ]
    published = outside_stage_3(c, 800, 1280) + 3 * sum(unit)
    if arch == 'small':
        assert [round(block / 1e9, 2) for block in unit] == [7.67, 2.79, 2.95, 1.53, 2.10, 8.99]
    assert published == {'small': 130_373_336_064, 'base': 225_635_815_424}[arch]  # 130.4 and 225.6 on that page

    projection = c3**2  # of one token by one linear layer
    # One zero token stands for all padding: k and v of blocks 1, 2 and (beside the semantic tokens) 5.
    less_padding = 2 * 2 * projection * (PADDED - IMAGE - 1) - 2 * projection
    less_padding += 2 * projection * (PADDED - IMAGE)  # q and proj of block 5
    # Semantic tokens without an image token in their cell are left out: 2 of 7 rows, 3 of 7 columns are left over.
    tokens = (7 * 3 + 1) * (11 * 3 + 2)
    less_tokens = 4 * (2 + 8) * projection * (SLOTS - tokens)  # q, proj and MLP of blocks 1 to 4
    less_tokens += 3 * 2 * projection * (SLOTS - tokens)  # k and v of blocks 3 to 5
    less_tokens += 2 * c3 * (SLOTS**2 - tokens**2)  # block 4 attends to all
    # Every image token to all semantic tokens, as these are hardly more than 27 x 27.
    less_tokens += 2 * c3 * (PADDED * 27**2 - IMAGE * tokens)
    # And no zero token at all.
    less_tokens += 3 * 2 * projection
    expected = {'official': published - 3 * less_padding, 'exact': published - 3 * (less_padding + less_tokens)}
    assert expected == {
        'small': {'official': 128_507_427_840, 'exact': 125_433_495_552},
        'base': {'official': 222_318_645_248, 'exact': 217_368_756_224},
    }[arch]  # fmt: skip
    for masks, macs in expected.items():
        with torch.device('meta'):
            model = STViTR(arch, preset='det', masks=masks)
        assert counted(model, 800, 1280).total.macs == macs


class Classifier(nn.Module):
    def __init__(self, backbone):
        super().__init__()
        self.backbone, self.fc = backbone, nn.Linear(backbone.out_channels[-1], 1000)

    def forward(self, x):
        return self.fc(self.backbone(x)[0])


@pytest.mark.parametrize(('arch', 'c'), PARTS)
def test_the_classifier_as_its_authors_counted_it_with_fvcore(arch, c):
    c3 = 4 * c
    # docs/models/stvit_r.md, 'Dumbbell unit': 196 image and 36 semantic tokens; block 1 has 4 crops of 10 x 10 and 9
    # pooled tokens as keys.
    unit = [
        swin_block(c3, 14, 14),
        cross_block(c3, 36, 4 * 109, 36 * 109, 36),
        cross_block(c3, 36, 36 + 196, 36 * (36 + 196), 36),
        cross_block(c3, 36, 36, 36 * 9, 36),
        cross_block(c3, 36, 36, 36 * 36, 36),
        cross_block(c3, 196, 36, 196 * 36, 196),
    ]
    stage = merging_to(2, c, 14, 14) + 3 * sum(unit)
    macs = outside_stage_3(c, 224, 224) + 3 * sum(unit) + 8 * c * 1000
    if arch == 'small':
        assert [round(block / 1e6) for block in unit] == [354, 185, 128, 64, 65, 305]
    # fvcore of that time counts 5 per element of a batch norm as of a layer norm.
    batch_norms = 112**2 * c // 2 + 56**2 * c
    normed = 2 * 2 * (56**2 * c + 28**2 * 2 * c + 7**2 * 8 * c) + 7**2 * 8 * c  # blocks of stages 1, 2, 4; last norm
    normed += 28**2 * 4 * c + 14**2 * 8 * c + 7**2 * 16 * c  # patch merging, four tokens joined
    # Before attention, queries and keys each; and before the MLP.
    unit_normed = 196 + (36 + 4 * 109) + (36 + 36 + 196) + 36 + 36 + (196 + 36) + 196 + 4 * 36 + 196
    published = macs + 5 * (batch_norms + normed + 3 * unit_normed * c3)
    stage += 5 * (14**2 * 8 * c + 3 * unit_normed * c3)
    # 5.826 (3.370 of it stage 3, .151 the stem) and 10.264 (5.955) in the authors' logs
    assert published == {'small': 5_826_084_096, 'base': 10_263_854_080}[arch]
    assert round(stage / 1e9, 3) == {'small': 3.370, 'base': 5.955}[arch]
    assert arch != 'small' or round((stem(c, 224, 224) + 5 * batch_norms) / 1e9, 3) == 0.151

    with torch.device('meta'):
        model = Classifier(STViTR(arch, out_type='avg_featmap'))
    cost = counted(model, 224, 224).total
    twice = 4 * 109 - (36 + 196)  # tokens that the published code projects in several crops
    assert cost.macs == macs - 3 * 2 * c3**2 * twice == {'small': 5_618_245_632, 'base': 9_906_520_064}[arch]
    assert cost.fvcore_flops == published - 3 * (2 * c3**2 + 5 * c3) * twice - 3 * batch_norms  # 2 per element
    assert cost.params == {'small': 49_625_518, 'base': 87_812_336}[arch]
