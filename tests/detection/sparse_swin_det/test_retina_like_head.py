"""Compare anchors, losses and predictions with restatements; perfect outputs reach mAP 1.

See docs/models/sparse_swin_det.md, 'Anchors', 'Targets and losses' and 'Prediction'.
"""

from pathlib import Path

import pytest
import torch
import torchvision
from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.structures import InstanceData
from real_data import coco_mini
from torch.nn import functional as F

from mmsparseswin.detection.metrics import CocoMetric
from mmsparseswin.errors import InputError

ROOT = Path(__file__).parents[3]
CLASSES = 4
SIZE = (96, 160)  # height and width
STRIDES = (8, 16, 32, 64, 128)
MAPS = [(-(-SIZE[0] // s), -(-SIZE[1] // s)) for s in STRIDES]


def config(name: str = 'sparseswindet') -> Config:
    return Config.fromfile(ROOT / f'configs/_base_/models/{name}.py').model


def head(name: str = 'sparseswindet', **changes):
    model = config(name)
    settings = {**model.bbox_head, 'num_classes': CLASSES, **changes}
    init_default_scope('mmdet')
    return MODELS.build(dict(settings, train_cfg=model.train_cfg, test_cfg=model.test_cfg))


def restated_anchors(maps, base: float = 4.0) -> torch.Tensor:
    """Return corners (anchors, 4): level, row, column, ratio (height by width), scale."""
    found = []
    for (height, width), stride in zip(maps, STRIDES, strict=True):
        for y in range(height):
            for x in range(width):
                for ratio in (0.5, 1.0, 2.0):
                    for scale in (1.0, 2 ** (1 / 3), 2 ** (2 / 3)):
                        side = base * stride * scale
                        w, h = side / ratio**0.5, side * ratio**0.5
                        cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
                        found.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
    return torch.tensor(found)


@pytest.mark.parametrize(('name', 'base'), [('sparseswindet', 4.0), ('sparseswindet-mended', 2.0)])
def test_anchors_are_the_restated_ones_in_their_order(name, base):
    found = torch.cat(head(name).prior_generator.grid_priors(MAPS, device='cpu'))
    torch.testing.assert_close(found, restated_anchors(MAPS, base), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(('side', 'anchors'), [(384, 27_621), (512, 49_104)])
def test_anchors_have_the_published_number(side, anchors):
    maps = [(-(-side // s),) * 2 for s in STRIDES]
    assert sum(map(len, head().prior_generator.grid_priors(maps, device='cpu'))) == anchors


def outputs(images: int, spread: float = 2.0) -> tuple[list, list]:
    torch.manual_seed(0)
    scores = [spread * torch.randn(images, 9 * CLASSES, *size) for size in MAPS]
    return scores, [torch.randn(images, 36, *size) for size in MAPS]


def flat(maps, numbers: int) -> torch.Tensor:
    """Return (B, anchors, numbers): level, position, anchor."""
    return torch.cat([m.permute(0, 2, 3, 1).reshape(len(m), -1, numbers) for m in maps], 1)


def meta(**kwargs) -> dict:
    return dict(img_shape=SIZE, pad_shape=SIZE, batch_input_shape=SIZE, scale_factor=(1.0, 1.0), **kwargs)


BOXES = torch.tensor([[10.0, 12, 60, 50], [20, 10, 140, 90], [100, 40, 131, 70], [2, 2, 8, 7]])
LABELS = torch.tensor([0, 3, 1, 2])
NOTHING = (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
TRUTHS = {
    'objects': [(BOXES, LABELS), (BOXES[1:2], LABELS[1:2])],
    'one image without objects': [(BOXES, LABELS), NOTHING, (BOXES[2:3], LABELS[2:3])],
    'objects without anchors': [(BOXES[3:], LABELS[3:]), (BOXES, LABELS)],
    'no object at all': [NOTHING, NOTHING],
}


def published_loss(scores, deltas, truths) -> tuple[torch.Tensor, torch.Tensor]:
    anchors = restated_anchors(MAPS)
    centre, side = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]
    cls, box = [], []
    for odds, delta, (boxes, labels) in zip(flat(scores, CLASSES).sigmoid(), flat(deltas, 4), truths, strict=True):
        if not len(boxes):
            cls.append(torch.zeros(()))
            box.append(torch.zeros(()))
            continue
        overlap, best = torchvision.ops.box_iou(anchors, boxes).max(1)
        positive, negative = overlap >= 0.5, overlap < 0.4
        wanted = F.one_hot(labels[best], CLASSES) * positive[:, None]
        right = torch.where(wanted > 0, odds, 1 - odds)
        loss = -torch.where(wanted > 0, 0.25, 0.75) * (1 - right) ** 2 * right.log()
        cls.append(loss[positive | negative].sum() / positive.sum().clamp(min=1))
        mine = boxes[best[positive]]
        shift = ((mine[:, :2] + mine[:, 2:]) / 2 - centre[positive]) / side[positive] / 0.1
        growth = ((mine[:, 2:] - mine[:, :2]) / side[positive]).log() / 0.2
        off = (delta[positive] - torch.cat((shift, growth), 1)).abs()
        smooth = torch.where(off < 1 / 9, 4.5 * off**2, off - 1 / 18)
        box.append(smooth.mean() if len(smooth) else torch.zeros(()))
    return torch.stack(cls).mean(), torch.stack(box).mean()


def truth_of(boxes, labels) -> InstanceData:
    return InstanceData(bboxes=boxes, labels=labels)


@pytest.mark.parametrize('truths', TRUTHS.values(), ids=TRUTHS.keys())
def test_losses_per_image_are_the_published_ones(truths):
    scores, deltas = outputs(len(truths))
    for one in (*scores, *deltas):
        one.requires_grad_()
    losses = head().loss_by_feat(scores, deltas, [truth_of(*t) for t in truths], [meta()] * len(truths))
    found = torch.stack([sum(losses[name]) for name in ('loss_cls', 'loss_bbox')])
    torch.testing.assert_close(found, torch.stack(published_loss(scores, deltas, truths)), rtol=1e-4, atol=1e-5)
    gradients = torch.autograd.grad(found.sum(), [*scores, *deltas])
    assert all(torch.isfinite(g).all() for g in gradients)
    if not any(len(boxes) for boxes, _ in truths):
        assert not any(g.any() for g in gradients)


@pytest.mark.parametrize('truths', TRUTHS.values(), ids=TRUTHS.keys())
def test_losses_per_batch_are_those_of_mmdet_and_teach_background(truths):
    scores, deltas = outputs(len(truths))
    for one in scores:
        one.requires_grad_()
    ours = head('sparseswindet-mended')
    settings = {k: v for k, v in config('sparseswindet-mended').bbox_head.items() if k not in ('type', 'loss_per')}
    plain = RetinaHead(**dict(settings, num_classes=CLASSES), train_cfg=config('sparseswindet-mended').train_cfg)
    arguments = scores, deltas, [truth_of(*t) for t in truths], [meta()] * len(truths)
    found, wanted = ours.loss_by_feat(*arguments), plain.loss_by_feat(*arguments)
    for name in ('loss_cls', 'loss_bbox'):
        torch.testing.assert_close(torch.stack(found[name]), torch.stack(wanted[name]))
    assert all(g.any() for g in torch.autograd.grad(sum(found['loss_cls']), scores))


def restated_boxes(deltas) -> torch.Tensor:
    anchors = restated_anchors(MAPS)
    side = anchors[:, 2:] - anchors[:, :2]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2 + 0.1 * deltas[:, :2] * side
    half = side * (0.2 * deltas[:, 2:]).exp() / 2
    corners = torch.cat((centre - half, centre + half), 1)
    return torch.stack([corners[:, i].clamp(0, SIZE[1 - i % 2]) for i in range(4)], 1)


def test_published_predictions_have_the_best_class_and_one_suppression_for_all():
    scores, deltas = outputs(2)
    found = head().predict_by_feat(scores, deltas, batch_img_metas=[meta(), meta()])
    for image, result in enumerate(found):
        odds, labels = flat(scores, CLASSES)[image].sigmoid().max(1)
        boxes = restated_boxes(flat(deltas, 4)[image])
        above = ((odds > 0.05) & (boxes[:, 2:] > boxes[:, :2]).all(1)).nonzero()[:, 0]
        keep = above[torchvision.ops.nms(boxes[above], odds[above], 0.5)]
        keep = keep[odds[keep] >= 0.2]  # the published evaluation reads no further
        assert len(result) == len(keep) > 50
        torch.testing.assert_close(result.scores, odds[keep])
        assert result.labels.tolist() == labels[keep].tolist()
        torch.testing.assert_close(result.bboxes, boxes[keep], rtol=1e-4, atol=1e-3)


def test_mended_predictions_suppress_within_a_class_and_are_a_hundred():
    scores, deltas = outputs(1)
    model = head('sparseswindet-mended', anchor_generator=config().bbox_head.anchor_generator)
    (result,) = model.predict_by_feat(scores, deltas, batch_img_metas=[meta()])
    odds, boxes = flat(scores, CLASSES)[0].sigmoid(), restated_boxes(flat(deltas, 4)[0])
    kept = []
    for label in range(CLASSES):
        above = ((odds[:, label] > 0.05) & (boxes[:, 2:] > boxes[:, :2]).all(1)).nonzero()[:, 0]
        keep = above[torchvision.ops.nms(boxes[above], odds[above, label], 0.5)]
        kept += [(float(odds[i, label]), label) for i in keep]
    kept = sorted(kept, reverse=True)
    assert len(kept) > 100
    torch.testing.assert_close(result.scores, torch.tensor([k[0] for k in kept[:100]]))
    assert result.labels.tolist() == [k[1] for k in kept[:100]]


@pytest.mark.parametrize('name', ['sparseswindet', 'sparseswindet-mended'])
def test_two_images_are_both_decoded_as_each_alone(name):
    scores, deltas = outputs(2)
    model = head(name)
    both = model.predict_by_feat(scores, deltas, batch_img_metas=[meta(), meta()])
    for i in range(2):
        (alone,) = model.predict_by_feat(*([m[i : i + 1] for m in maps] for maps in (scores, deltas)),
                                         batch_img_metas=[meta()])  # fmt: skip
        assert torch.equal(both[i].bboxes, alone.bboxes)
        assert torch.equal(both[i].labels, alone.labels)


def perfect(model, shape, boxes, labels) -> tuple[list, list]:
    """Return outputs that give each object to the anchor it overlaps most, a free one, and nothing else."""
    maps = [(-(-shape[0] // s), -(-shape[1] // s)) for s in STRIDES]
    anchors = torch.cat(model.prior_generator.grid_priors(maps, device='cpu'))
    scores = torch.full((len(anchors), model.num_classes), -20.0)
    deltas = torch.zeros(len(anchors), 4)
    overlaps = torchvision.ops.box_iou(boxes, anchors)
    for i, label in enumerate(labels):
        best = int(overlaps[i].argmax())
        overlaps[:, best] = -1
        scores[best, label] = 5.0 + i / 100
        deltas[best] = model.bbox_coder.encode(anchors[best : best + 1], boxes[i : i + 1])[0]
    counts = [9 * h * w for h, w in maps]

    def as_maps(values):
        levels = zip(values.split(counts), maps, strict=True)
        return [level.view(1, h, w, -1).permute(0, 3, 1, 2) for level, (h, w) in levels]

    return as_maps(scores), as_maps(deltas)


def perfect_map(model, dataset_cfg, annotations) -> float:
    """Return COCO mAP of perfect outputs on a data set, by the metric of the configs."""
    dataset = DATASETS.build(dataset_cfg)
    metric = CocoMetric(ann_file=str(annotations), metric='bbox', proposal_nums=(1, 10, 100))
    metric.dataset_meta = dataset.metainfo
    for index in range(len(dataset)):
        sample: DetDataSample = dataset[index]['data_samples']
        truth = sample.gt_instances
        # The test pipeline leaves the truth in pixels of the original image.
        boxes = truth.bboxes.tensor * torch.tensor(sample.scale_factor).repeat(2)
        outs = perfect(model, sample.img_shape, boxes, truth.labels)
        sample.pred_instances = model.predict_by_feat(*outs, batch_img_metas=[sample.metainfo], rescale=True)[0]
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(dataset))['coco/bbox_mAP']


@pytest.mark.parametrize('name', ['sparseswindet-published_shapes', 'sparseswindet_shapes'])
def test_perfect_outputs_reach_map_1_on_the_embedded_data(name, shapes):
    cfg = Config.fromfile(ROOT / f'configs/quickstart/{name}.py')
    init_default_scope('mmdet')
    cfg.model.test_cfg.nms.iou_threshold = 0.9  # two objects overlap by .7: at .5 the one suppresses the other
    model = MODELS.build(dict(cfg.model.bbox_head, train_cfg=cfg.model.train_cfg, test_cfg=cfg.model.test_cfg))
    annotations = shapes / 'annotations/instances_val.json'
    dataset = dict(cfg.val_dataloader.dataset, data_root=str(shapes))
    assert perfect_map(model, dataset, annotations) == pytest.approx(1.0)


def test_perfect_outputs_reach_map_1_on_coco():
    root = coco_mini()
    cfg = Config.fromfile(ROOT / 'configs/sparseswin/sparseswindet_t_384-mended_coco.py')
    init_default_scope('mmdet')
    cfg.model.test_cfg.nms.iou_threshold = 0.95
    model = MODELS.build(dict(cfg.model.bbox_head, train_cfg=cfg.model.train_cfg, test_cfg=cfg.model.test_cfg))
    dataset = dict(cfg.val_dataloader.dataset, data_root=str(root))
    assert perfect_map(model, dataset, root / 'annotations/instances_val2017.json') == pytest.approx(1.0)


def test_an_unknown_average_is_named():
    with pytest.raises(InputError, match="loss_per 'pixel' is unknown"):
        head(loss_per='pixel')


def test_under_bfloat16_the_head_speaks_float32():
    model = head()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        scores, deltas = model([torch.randn(1, 64, *size) for size in MAPS])
    assert {m.dtype for m in (*scores, *deltas)} == {torch.float32}
