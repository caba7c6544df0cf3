"""Compare losses and predictions of the SSD head with a restatement in units of the image.

See docs/models/ssd.md, 'Matching, losses and prediction'.
"""

from pathlib import Path

import pytest
import torch
import torchvision
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from test_priors import corners, spec_priors
from torch.nn import functional as F

from mmsparseswin.errors import InputError

SIZE = (43, 70)  # height and width of the images
MAPS = [(9, 7), (5, 4), (3, 2), (2, 1), (1, 1), (1, 1)]
CLASSES = 5
PIXELS = torch.tensor([SIZE[1], SIZE[0], SIZE[1], SIZE[0]], dtype=torch.float32)


@pytest.fixture(scope='module')
def base() -> Config:
    return Config.fromfile(Path(__file__).parents[3] / 'configs/_base_/models/ssd.py').model


def head(base, **kwargs):
    settings = {**base.bbox_head, 'num_classes': CLASSES, 'in_channels': [8] * 6, **kwargs}
    return MODELS.build(dict(settings, train_cfg=base.train_cfg, test_cfg=base.test_cfg))


def outputs(images: int, spread: float = 2.0) -> tuple[list, list]:
    torch.manual_seed(0)
    per_cell = [4, 6, 6, 6, 4, 4]
    scores = [spread * torch.randn(images, n * (CLASSES + 1), *size) for n, size in zip(per_cell, MAPS, strict=True)]
    boxes = [torch.randn(images, n * 4, *size) for n, size in zip(per_cell, MAPS, strict=True)]
    return scores, boxes


def flat(maps: list[torch.Tensor], numbers: int) -> torch.Tensor:
    """Return (B, priors, numbers), cell by cell."""
    return torch.cat([m.permute(0, 2, 3, 1).reshape(len(m), -1, numbers) for m in maps], 1)


def meta(**kwargs) -> dict:
    return dict(img_shape=SIZE, pad_shape=SIZE, batch_input_shape=SIZE, scale_factor=(1.0, 1.0), **kwargs)


def spec_loss(scores, boxes, truths, per: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute the losses, background is 0; `truths`: (boxes in units of the image, labels from 1) per image."""
    priors = spec_priors(MAPS)
    scores = flat(scores, CLASSES + 1).roll(1, -1)  # mmdet has the background last
    offsets, targets, conf, counted = [], [], 0.0, 0
    for image, (gt, labels) in enumerate(truths):
        wanted = torch.zeros(len(priors), dtype=torch.long)
        if len(gt):
            overlap, best = torchvision.ops.box_iou(gt, corners(priors)).max(0)
            for number, prior in enumerate(torchvision.ops.box_iou(gt, corners(priors)).argmax(1)):
                overlap[prior], best[prior] = 1.0, number
            wanted = labels[best] * (overlap >= 0.5)
            positive = wanted > 0
            matched = gt[best[positive]]
            centre, side = (matched[:, :2] + matched[:, 2:]) / 2, matched[:, 2:] - matched[:, :2]
            mine = priors[positive]
            targets.append(torch.cat(((centre - mine[:, :2]) / mine[:, 2:] * 10, (side / mine[:, 2:]).log() * 5), 1))
            offsets.append(flat(boxes, 4)[image][positive])
        positives = int((wanted > 0).sum())
        loss = F.cross_entropy(scores[image], wanted, reduction='none')
        negative = loss[wanted == 0].sort(descending=True).values[: 3 * max(positives, 1)]
        conf = conf + loss[wanted > 0].sum() + negative.sum()
        counted += max(positives, 1)
    if not targets:
        return conf / counted, torch.zeros(())
    reduction = dict(coordinate='mean', box='sum')[per]
    loc = F.smooth_l1_loss(torch.cat(offsets), torch.cat(targets), reduction=reduction)
    return conf / counted, loc if per == 'coordinate' else loc / counted


BOXES = torch.tensor([[0.1, 0.2, 0.45, 0.6], [0.05, 0.05, 0.95, 0.9], [0.7, 0.71, 0.72, 0.74], [0.12, 0.2, 0.45, 0.62]])
LABELS = torch.tensor([1, 5, 3, 2])
NOTHING = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
TRUTHS = {
    'objects': [(BOXES, LABELS), (BOXES[1:2], LABELS[1:2])],
    'one image without objects': [(BOXES, LABELS), NOTHING, (BOXES[2:3], LABELS[2:3])],
    'no object at all': [NOTHING, NOTHING],
}


@pytest.mark.parametrize('per', ['coordinate', 'box'])
@pytest.mark.parametrize('truths', TRUTHS.values(), ids=TRUTHS.keys())
def test_losses_are_the_published_ones(base, truths, per):
    scores, boxes = outputs(len(truths))
    for maps in (scores, boxes):
        for one in maps:
            one.requires_grad_()
    gts = [InstanceData(bboxes=gt * PIXELS, labels=labels - 1) for gt, labels in truths]
    losses = head(base, box_loss_per=per).loss_by_feat(scores, boxes, gts, [meta()] * len(truths))
    found = [sum(loss.sum() for loss in losses[name]) for name in ('loss_cls', 'loss_bbox')]
    wanted = spec_loss(scores, boxes, truths, per)
    torch.testing.assert_close(torch.stack(found), torch.stack(wanted), rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad(sum(found), [*scores, *boxes], allow_unused=True)
    assert all(torch.isfinite(g).all() for g in gradients)
    assert any(g.any() for g in gradients[: len(scores)])


def test_predictions_are_the_published_ones(base):
    scores, boxes = outputs(2)
    found = head(base).predict_by_feat(scores, boxes, batch_img_metas=[meta(), meta()])
    priors = spec_priors(MAPS)
    for image, result in enumerate(found):
        odds = flat(scores, CLASSES + 1)[image].softmax(-1)
        offset = flat(boxes, 4)[image]
        centre = priors[:, :2] + offset[:, :2] * 0.1 * priors[:, 2:]
        side = priors[:, 2:] * (offset[:, 2:] * 0.2).exp()
        decoded = corners(torch.cat((centre, side), 1)).clamp(0, 1)
        kept = []
        for label in range(CLASSES):
            above = (odds[:, label] > 0.05).nonzero()[:, 0]
            # Unit boxes and pixels have the same overlaps.
            keep = above[torchvision.ops.nms(decoded[above], odds[above, label], 0.45)]
            kept += [(float(odds[i, label]), label, decoded[i] * PIXELS) for i in keep]
        kept = sorted(kept, key=lambda one: -one[0])[:200]
        assert len(result) == len(kept) > 100
        torch.testing.assert_close(result.scores, torch.tensor([k[0] for k in kept]))
        assert result.labels.tolist() == [k[1] for k in kept]
        torch.testing.assert_close(result.bboxes, torch.stack([k[2] for k in kept]), rtol=1e-4, atol=1e-3)


def test_boxes_come_back_in_pixels_of_the_original_image(base):
    scores, boxes = outputs(1)
    plain = head(base).predict_by_feat(scores, boxes, batch_img_metas=[meta()])[0]
    halved = dict(meta(), scale_factor=(0.5, 0.25))
    rescaled = head(base).predict_by_feat(scores, boxes, batch_img_metas=[halved], rescale=True)[0]
    expected = plain.bboxes * torch.tensor([2.0, 4.0, 2.0, 4.0])
    torch.testing.assert_close(rescaled.bboxes, expected)


def test_a_padded_batch_stretches_priors_over_the_whole_of_it(base):
    scores, boxes = outputs(1)
    gts = [InstanceData(bboxes=BOXES * PIXELS, labels=LABELS - 1)]
    padded = [dict(meta(), img_shape=(30, 50))]
    loss = head(base).loss_by_feat(scores, boxes, gts, padded)
    alone = head(base).loss_by_feat(scores, boxes, gts, [meta()])
    assert torch.equal(loss['loss_bbox'][0], alone['loss_bbox'][0])


def test_under_bfloat16_the_head_speaks_float32_and_predicts(base):
    model = head(base)
    maps = [torch.randn(1, 8, *size) for size in MAPS]
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        scores, boxes = model(maps)
        sample = DetDataSample(metainfo=meta())
        result = model.predict(maps, [sample])[0]
    assert {m.dtype for m in (*scores, *boxes)} == {torch.float32}
    assert result.bboxes.dtype == torch.float32


def test_maps_and_levels_of_priors_must_agree(base):
    with pytest.raises(InputError, match='in_channels names 5 maps'):
        head(base, in_channels=[8] * 5)
    with pytest.raises(InputError, match='takes 6 maps, not 5'):
        head(base)([torch.zeros(1, 8, *size) for size in MAPS[:5]])
    with pytest.raises(InputError, match="box_loss_per 'pixel' is unknown"):
        head(base, box_loss_per='pixel')
