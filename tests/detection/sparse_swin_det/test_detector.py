"""Train and predict with slim twins, published and mended; the two faults of the detector class."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

ROOT = Path(__file__).parents[3]
NAMES = ('sparseswindet-published_shapes', 'sparseswindet_shapes')


def detector(name: str, **changes):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    cfg = Config.fromfile(ROOT / f'configs/quickstart/{name}.py').model
    model = MODELS.build({**cfg, **changes})
    model.init_weights()
    return model.train()


def batch(*sizes: tuple[int, int], objects: int = 2) -> dict:
    torch.manual_seed(0)
    samples = []
    for number, size in enumerate(sizes):
        sample = DetDataSample(metainfo=dict(img_id=number, img_shape=size, ori_shape=size, scale_factor=(1.0, 1.0)))
        corner = torch.rand(objects, 2) * 0.4
        boxes = torch.cat((corner, corner + 0.3 + 0.3 * torch.rand_like(corner)), 1)
        boxes = boxes * torch.tensor([size[1], size[0]]).repeat(2)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(objects))
        samples.append(sample)
    pixels = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    return dict(inputs=pixels, data_samples=samples)


def loss_of(model, data) -> torch.Tensor:
    data = model.data_preprocessor(data, True)
    return model.parse_losses(model(**data, mode='loss'))[0]


def without_gradient(model) -> list[str]:
    return [n for n, p in model.named_parameters() if p.grad is None]


def test_the_published_twin_holds_a_dead_stage_and_the_mended_one_nothing_dead():
    published, mended = (detector(name) for name in NAMES)
    for model in (published, mended):
        loss_of(model, batch((128, 128), (128, 100))).backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    dead = without_gradient(published)
    assert {name.split('.')[0] for name in dead} == {'unused'}
    assert sum(p.numel() for n, p in published.named_parameters() if n in dead) == 16_137_112
    assert without_gradient(mended) == []


def test_a_fixed_batch_is_learned():
    for name in NAMES:
        model = detector(name)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        losses = []
        for _ in range(12):
            loss = loss_of(model, batch((128, 128), (128, 128)))
            losses.append(float(loss))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert losses[-1] < 0.7 * losses[0], (name, losses)


@pytest.mark.parametrize('name', NAMES)
def test_images_of_any_size_train_and_are_predicted(name):
    model = detector(name)
    model.test_cfg.score_thr = model.bbox_head.test_cfg.score_thr = 0.0
    model.bbox_head.test_cfg.nms_pre = 50
    sizes = [(77, 58), (128, 91)]
    assert torch.isfinite(loss_of(model, batch(*sizes)))
    assert torch.isfinite(loss_of(model, batch(*sizes, objects=0)))
    model.eval()
    for size in ((31, 47), (128, 128), (140, 260)):
        with torch.no_grad():
            (result,) = model.test_step(batch(size))
        boxes = result.pred_instances.bboxes
        assert len(boxes) > 0
        assert boxes[:, 2].max() <= size[1]
        assert boxes[:, 3].max() <= size[0]


def test_padding_of_the_batch_reaches_the_published_backbone_alone():
    for name, changes in zip(NAMES, (True, False), strict=True):
        model = detector(name).eval()
        wide = batch((128, 64), (128, 128))
        small = {name: values[:1] for name, values in wide.items()}
        maps = []
        for data in (small, wide):
            with torch.no_grad():
                maps.append(model.backbone(model.data_preprocessor(data, False)['inputs'])[2][0])
        # 128 x 64 pixels are 4 x 2 cells of stride 32.
        alone, beside = (one[:, :4, :2] for one in maps)
        assert torch.allclose(alone, beside, atol=1e-5)
        assert (maps[0].shape[2] == 4) == changes  # padded to the square, or as the image is
        if changes:  # the map is one of padding, too
            assert maps[0][:, :, 2:].any()


def test_redrawing_overwrites_loaded_convolutions_but_for_the_last_ones(tmp_path):
    source = detector(NAMES[1])
    for module in source.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.fill_(0.5)
    torch.save(source.backbone.state_dict(), tmp_path / 'backbone.pth')
    backbone = dict(
        source_config().backbone, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'backbone.pth'))
    )
    kept = detector(NAMES[1], backbone=backbone)
    assert (kept.backbone.patch_embed.proj.weight == 0.5).all()
    redrawn = detector(NAMES[1], backbone=backbone, redraw_convs=True)
    for module in redrawn.modules():
        if isinstance(module, nn.Conv2d) and module.weight.shape[0] * module.weight[0].numel() > 500:
            if module in (redrawn.bbox_head.retina_cls, redrawn.bbox_head.retina_reg):
                assert not module.weight.any()
                continue
            cells = module.kernel_size[0] * module.kernel_size[1]
            expected = (2 / (cells * module.out_channels)) ** 0.5
            assert float(module.weight.std()) == pytest.approx(expected, rel=0.2)
    prior = redrawn.bbox_head.retina_cls.bias.sigmoid()
    assert torch.allclose(prior, torch.full_like(prior, 0.01))


def source_config():
    return Config.fromfile(ROOT / f'configs/quickstart/{NAMES[1]}.py').model
