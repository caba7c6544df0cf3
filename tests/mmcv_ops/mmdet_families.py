"""One training step and one prediction of mmdet's own configs on this project's operators, as a table.

    python tests/mmcv_ops/mmdet_families.py                    all families, about five minutes on two cores
    python tests/mmcv_ops/mmdet_families.py YOLOX 'Mask R-CNN'   some

Models are built from the configs that mmdet installs, without pretrained weights and with pictures of 128 pixels;
thresholds of scores become 0, so that untrained models predict boxes and suppression has work to do.
"""

import logging
import math
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mmcv.ops
import mmdet
import torch
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope

CONFIGS = Path(mmdet.__file__).parent / '.mim' / 'configs'
FAMILIES = {
    'Faster R-CNN': 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'Faster R-CNN, caffe C4': 'faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py',
    'Soft-NMS': 'faster_rcnn/faster-rcnn_r50_fpn_soft-nms_1x_coco.py',
    'Mask R-CNN': 'mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'Cascade R-CNN': 'cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
    'Cascade Mask R-CNN': 'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    'DCN v1': 'dcn/faster-rcnn_r50-dconv-c3-c5_fpn_1x_coco.py',
    'DCN v2': 'dcnv2/faster-rcnn_r50-mdconv-group4-c3-c5_fpn_1x_coco.py',
    'DCN v1 pooling': 'dcn/faster-rcnn_r50_fpn_dpool_1x_coco.py',
    'Libra R-CNN': 'libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py',
    'Dynamic R-CNN': 'dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py',
    'Double-Head R-CNN': 'double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py',
    'Grid R-CNN': 'grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py',
    'HTC': 'htc/htc_r50_fpn_1x_coco.py',
    'SCNet': 'scnet/scnet_r50_fpn_1x_coco.py',
    'PointRend': 'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
    'Mask Scoring R-CNN': 'ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py',
    'CARAFE': 'carafe/mask-rcnn_r50_fpn-carafe_1x_coco.py',
    'DetectoRS': 'detectors/detectors_cascade-rcnn_r50_1x_coco.py',
    'PISA': 'pisa/faster-rcnn_r50_fpn_pisa_1x_coco.py',
    'SABL': 'sabl/sabl-faster-rcnn_r50_fpn_1x_coco.py',
    'GRoIE': 'groie/mask-rcnn_r50_fpn_groie_1x_coco.py',
    'Guided Anchoring': 'guided_anchoring/ga-faster-rcnn_r50_fpn_1x_coco.py',
    'Cascade RPN': 'cascade_rpn/cascade-rpn_faster-rcnn_r50-caffe_fpn_1x_coco.py',
    'CrowdDet': 'crowddet/crowddet-rcnn_r50_fpn_8xb2-30e_crowdhuman.py',
    'Sparse R-CNN': 'sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
    'Panoptic FPN': 'panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
    'RPN': 'rpn/rpn_r50_fpn_1x_coco.py',
    'RetinaNet': 'retinanet/retinanet_r50_fpn_1x_coco.py',
    'FCOS': 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'ATSS': 'atss/atss_r50_fpn_1x_coco.py',
    'DyHead': 'dyhead/atss_r50_fpn_dyhead_1x_coco.py',
    'PAA': 'paa/paa_r50_fpn_1x_coco.py',
    'GFL': 'gfl/gfl_r50_fpn_1x_coco.py',
    'VFNet': 'vfnet/vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco.py',
    'TOOD': 'tood/tood_r50_fpn_1x_coco.py',
    'DDOD': 'ddod/ddod_r50_fpn_1x_coco.py',
    'FoveaBox': 'foveabox/fovea_r50_fpn_gn-head-align_4xb4-2x_coco.py',
    'FSAF': 'fsaf/fsaf_r50_fpn_1x_coco.py',
    'FreeAnchor': 'free_anchor/freeanchor_r50_fpn_1x_coco.py',
    'AutoAssign': 'autoassign/autoassign_r50-caffe_fpn_1x_coco.py',
    'RepPoints': 'reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    'SSD': 'ssd/ssd300_coco.py',
    'YOLOv3': 'yolo/yolov3_d53_8xb8-320-273e_coco.py',
    'YOLOF': 'yolof/yolof_r50-c5_8xb8-1x_coco.py',
    'YOLOX': 'yolox/yolox_s_8xb8-300e_coco.py',
    'RTMDet': 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'RTMDet-Ins': 'rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py',
    'CenterNet': 'centernet/centernet_r18-dcnv2_8xb16-crop512-140e_coco.py',
    'CornerNet': 'cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco.py',
    'CentripetalNet': 'centripetalnet/centripetalnet_hourglass104_16xb6-crop511-210e-mstest_coco.py',
    'YOLACT': 'yolact/yolact_r50_1xb8-55e_coco.py',
    'SOLO': 'solo/solo_r50_fpn_1x_coco.py',
    'SOLOv2': 'solov2/solov2-light_r50-dcn_fpn_ms-3x_coco.py',
    'CondInst': 'condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
    'BoxInst': 'boxinst/boxinst_r50_fpn_ms-90k_coco.py',
    'DETR': 'detr/detr_r50_8xb2-150e_coco.py',
    'Conditional DETR': 'conditional_detr/conditional-detr_r50_8xb2-50e_coco.py',
    'DAB-DETR': 'dab_detr/dab-detr_r50_8xb2-50e_coco.py',
    'Deformable DETR': 'deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
    'DINO': 'dino/dino-4scale_r50_8xb2-12e_coco.py',
    'DDQ': 'ddq/ddq-detr-4scale_r50_8xb2-12e_coco.py',
    'MaskFormer': 'maskformer/maskformer_r50_ms-16xb1-75e_coco.py',
    'Mask2Former': 'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
}
SEMANTIC = ('HTC', 'SCNet', 'Panoptic FPN', 'MaskFormer')
# Pictures of 128 pixels have fewer tokens than these take queries.
FEWER_QUERIES = ('DINO', 'DDQ')
SIZES = {'SSD': 300}
WITHOUT_MASKS = ('RTMDet',)  # its assigner takes masks for a region of interest


# No downloads, no resizing to full size, few boxes per picture.
_SMALLER = dict(
    pretrained=None, batch_augments=None, score_thr=0.0, filter_thr=0.0, max_per_img=20, nms_pre=100, num_proposals=20
)

_CLIP = dict(max_norm=1, norm_type=math.inf)


class Outcome(NamedTuple):
    """Result of a family: its loss, its predicted instances or segments, or the error of an operator that it lacks."""

    loss: float
    instances: int
    missing: str = ''


def try_family(family: str) -> Outcome:
    """Build the family's model, train it for one step on two pictures and predict on the first."""
    torch.manual_seed(0)
    init_default_scope('mmdet')
    config = small_model(Config.fromfile(CONFIGS / FAMILIES[family]))
    if family in FEWER_QUERIES:
        config.num_queries = 50
    model = revert_sync_batchnorm(MODELS.build(config))
    model.init_weights()
    data = _pictures(model, family)
    before = [p.detach().clone() for p in model.parameters()]
    # Untrained weights have gradients of any size, with squares beyond float32.
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4), clip_grad=_CLIP)
    model.train()
    try:
        log = model.train_step(data, optimizer)
        model.eval()
        with torch.no_grad():
            (result,) = model.test_step({key: value[:1] for key, value in data.items()})
    except NotImplementedError as error:
        return Outcome(math.nan, 0, str(error))
    if all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True)):
        raise RuntimeError(f'{family}: the step changed no parameter')
    if not all(p.isfinite().all() for p in model.parameters()):
        raise RuntimeError(f'{family}: a gradient is not finite')
    if 'pred_panoptic_seg' in result:
        return Outcome(float(log['loss']), len(result.pred_panoptic_seg.sem_seg.unique()))
    return Outcome(float(log['loss']), len(result.pred_instances))


def _pictures(model: torch.nn.Module, family: str) -> dict[str, Any]:
    """Return two pictures with three and two objects, and set what mmdet's hooks set in a run."""
    size = SIZES.get(family, 128)
    data = demo_mm_inputs(
        batch_size=2,
        image_shapes=[(3, size, size)] * 2,
        num_items=[3, 2],
        num_classes=20,
        with_mask=family not in WITHOUT_MASKS,
        with_semantic=family in SEMANTIC,
    )
    classes = max(getattr(module, 'num_classes', 1) for module in model.modules())
    for sample in data['data_samples']:
        sample.gt_instances.labels %= classes
    for module in model.modules():
        if isinstance(module, SSDHead) and not hasattr(module, 'loss_cls'):
            module.loss_cls = None  # mmdet's prediction looks at it, and its SSDHead lacks it
    for name in ('epoch', 'iter'):
        MessageHub.get_current_instance().update_info(name, 0)
    return data


def small_model(config: Config) -> Any:
    """Return the config's model without downloads, fixed picture sizes, and thresholds of scores."""
    model = config.model
    for part in _parts(model):
        if 'init_cfg' in part and 'checkpoint' in (part.init_cfg or ()):
            part.init_cfg = None
        part.update({key: value for key, value in _SMALLER.items() if key in part})
        if 'sampler' in part and 'num' in part.sampler:
            part.sampler.num = 32
    return model


def _parts(config: Any) -> Iterator[Any]:
    """Yield all dictionaries of a config."""
    if isinstance(config, dict):
        yield config
    for part in config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ():
        yield from _parts(part)


def main(families: list[str]) -> None:
    """Print a Markdown table of the families."""
    warnings.filterwarnings('ignore')
    logging.disable(logging.INFO)  # the initialisation of every parameter
    print(f'Operators: {mmcv.ops.get_compiler_version()}\n')
    print('| Family | Config of mmdet | Training step: loss | Prediction: instances | Seconds |')
    print('| --- | --- | --- | --- | --- |')
    for family in families or FAMILIES:
        start = time.perf_counter()
        outcome = try_family(family)
        cells = f'{outcome.loss:.3g} | {outcome.instances}'
        if outcome.missing:
            cells = f'no: {_operator(outcome.missing)} is missing | no'
        seconds = time.perf_counter() - start
        print(f'| {family} | `{FAMILIES[family]}` | {cells} | {seconds:.0f} |', flush=True)


def _operator(message: str) -> str:
    """Return the operator's name out of the message about a missing one."""
    return message.partition('operator ')[2].partition(' ')[0]


if __name__ == '__main__':
    main(sys.argv[1:])
