"""Wrong settings end in one line that names the key and the nearest right thing, before data is read."""

import copy
from functools import cache
from pathlib import Path

import pytest
from mmengine.config import Config

from mmsparseswin.cli.class_check import check_pretrained_files
from mmsparseswin.cli.config_check import check_settings
from mmsparseswin.errors import InputError

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(p for p in (ROOT / 'configs').rglob('*.py') if '_base_' not in p.parts)
DETECTOR, CLASSIFIER = 'quickstart/cascade_sparseswin_smoke.py', 'swin/swin-t_16xb64_in1k.py'
OPTIMIZER, BACKBONE, ROI = 'optim_wrapper.optimizer', 'model.backbone', 'model.roi_head'
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
PIPELINE = 'train_dataloader.dataset.pipeline'
# (key, value)
NUMBERS = [
    *((f'{OPTIMIZER}.{key}', value) for key in ('lr', 'weight_decay') for value in (-1e-4, 'fast', True, float('nan'))),
    *((f'{name}.batch_size', value) for name in LOADERS for value in (0, -1, 1.5, '2', True)),
    *((f'{name}.num_workers', value) for name in LOADERS for value in (-1, 0.5, 'two')),
    *((f'train_cfg.{key}', value) for key in ('max_epochs', 'val_interval') for value in (0, -1, 1.5, 'ten')),
    ('default_hooks.checkpoint', {'interval': 1}),
    ('custom_hooks', [{'priority': 'LOW'}]),
    ('param_scheduler', [{'begin': 0}]),
    *((name, 'text') for name in ('optim_wrapper', OPTIMIZER, 'train_cfg', 'default_hooks', *LOADERS)),
]
# (key, value, the key that is named, words of the answer)
BUILT = [
    # Unknown names of classes
    ('model.type', 'CascadeRCN', 'model.type', 'did you mean CascadeRCNN?'),
    (f'{BACKBONE}.type', 'mmsparseswin.SparseSwim', f'{BACKBONE}.type', 'did you mean SparseSwin?'),
    ('model.neck.type', 'FPNN', 'model.neck.type', 'did you mean FPN?'),
    ('model.neck.norm_cfg', {'type': 'BM'}, 'model.neck.norm_cfg.type', 'did you mean BN?'),
    ('model.rpn_head.type', 'RPNHed', 'model.rpn_head.type', 'did you mean RPNHead?'),
    (f'{ROI}.bbox_head.0.type', 'ConvFCBoxHed', f'{ROI}.bbox_head.0.type', 'did you mean ConvFCBBoxHead?'),
    (f'{ROI}.mask_head.loss_mask.type', 'CrosEntropy', f'{ROI}.mask_head.loss_mask.type', 'CrossEntropyLoss?'),
    ('model.rpn_head.anchor_generator.type', 'AnchorGen', 'model.rpn_head.anchor_generator.type', 'AnchorGenerator?'),
    ('model.train_cfg.rcnn.0.assigner.type', 'MaxIou', 'model.train_cfg.rcnn.0.assigner.type', 'MaxIoUAssigner?'),
    ('model.data_preprocessor.type', 'DetPreprocessor', 'model.data_preprocessor.type', 'DetDataPreprocessor?'),
    (f'{BACKBONE}.init_cfg', {'type': 'Pretraind'}, f'{BACKBONE}.init_cfg.type', 'did you mean Pretrained?'),
    ('optim_wrapper.type', 'OptimWraper', 'optim_wrapper.type', 'did you mean OptimWrapper?'),
    ('optim_wrapper.constructor', 'DecayConstructr', 'optim_wrapper.constructor', 'mmsparseswin.DecayConstructor?'),
    (f'{OPTIMIZER}.type', 'AdmW', f'{OPTIMIZER}.type', 'did you mean AdamW?'),
    ('param_scheduler', [{'type': 'MultStepLR'}], 'param_scheduler.0.type', 'did you mean MultiStepLR?'),
    ('train_dataloader.dataset.type', 'CocoDatset', 'train_dataloader.dataset.type', 'did you mean CocoDataset?'),
    ('train_dataloader.sampler', {'type': 'DefaultSample'}, 'train_dataloader.sampler.type', 'DefaultSampler?'),
    (f'{PIPELINE}.2.type', 'Resise', f'{PIPELINE}.2.type', 'did you mean Resize?'),
    ('val_evaluator.type', 'CocoMetrik', 'val_evaluator.type', 'did you mean CocoMetric?'),
    ('train_cfg.type', 'EpochBasedLoop', 'train_cfg.type', 'did you mean EpochBasedTrainLoop?'),
    ('custom_hooks', [{'type': 'EMAHok'}], 'custom_hooks.0.type', 'did you mean EMAHook?'),
    ('visualizer.type', 'DetVisualizer', 'visualizer.type', 'there is no such visualizer'),
    ('default_scope', 'mmdett', 'default_scope', 'no such library is installed'),
    # Misspelt or missing arguments
    (f'{BACKBONE}.drop_path', 0.1, BACKBONE, "did you mean 'drop_path_rate'?"),
    (f'{ROI}.mask_head.num_clases', 3, f'{ROI}.mask_head', 'did you mean num_classes?'),
    ('model.data_preprocessor.meen', [1], 'model.data_preprocessor', 'did you mean mean?'),
    (f'{OPTIMIZER}.beta', (0.9, 0.99), OPTIMIZER, 'did you mean betas?'),
    ('optim_wrapper.clip_gard', {'max_norm': 1}, 'optim_wrapper', 'did you mean clip_grad?'),
    ('optim_wrapper.paramwise_cfg', {'custom_key': {}}, 'optim_wrapper.paramwise_cfg', 'did you mean custom_keys?'),
    ('param_scheduler', [{'type': 'LinearLR', 'start_facto': 0.1}], 'param_scheduler.0', 'did you mean start_factor?'),
    ('param_scheduler', [{'type': 'MultiStepLR'}], 'param_scheduler.0', "lacks 'milestones'"),
    ('train_dataloader.batchsize', 2, 'train_dataloader', 'did you mean batch_size?'),
    ('train_dataloader.dataset.anno_file', 'x', 'train_dataloader.dataset', 'did you mean ann_file?'),
    (f'{PIPELINE}.2.scal', 3, f'{PIPELINE}.2', 'did you mean scale?'),
    ('train_cfg.max_epoch', 2, 'train_cfg', 'did you mean max_epochs?'),
    ('default_hooks.checkpoint.intervall', 2, 'default_hooks.checkpoint', 'did you mean interval?'),
    # Values
    (f'{BACKBONE}.window_size', 0, f'{BACKBONE}.window_size', 'at least 1'),
    (f'{BACKBONE}.window_size', 3.5, f'{BACKBONE}.window_size', 'whole number'),
    (f'{BACKBONE}.drop_path_rate', 2.0, f'{BACKBONE}.drop_path_rate', r'number in \[0, 1\)'),
    (f'{BACKBONE}.frozen_stages', 99, f'{BACKBONE}.frozen_stages', 'at most 4'),
    (f'{BACKBONE}.arch', 'tinny', f'{BACKBONE}.arch', "choose one of .*'tiny'"),
    (f'{BACKBONE}.arch.embed_dims', 'many', f'{BACKBONE}.arch.embed_dims', 'whole number'),
    (f'{BACKBONE}.arch.num_heads', 2, f'{BACKBONE}.arch.num_heads', 'list of whole numbers'),
    (f'{BACKBONE}.arch.num_heads', (1, 3, 4), BACKBONE, '32 channels do not divide into num_heads=3'),
    (f'{OPTIMIZER}.betas', (2, 0.99), OPTIMIZER, 'Invalid beta parameter'),
    ('param_scheduler', [{'type': 'LinearLR', 'start_factor': 3}], 'param_scheduler.0', 'between 0 and 1'),
    (f'{PIPELINE}.2.scale', 'big', f'{PIPELINE}.2.scale', 'width, height'),
    ('val_evaluator.metric', 'bboxx', 'val_evaluator', "one of 'bbox', 'segm'"),
    ('model.rpn_head.in_channels', 32, 'model.rpn_head.in_channels', 'model.neck.out_channels is 16'),
    (f'{ROI}.mask_head.in_channels', 32, f'{ROI}.mask_head.in_channels', 'model.neck.out_channels is 16'),
]
DATA, SAVING = 'train_dataloader.dataset', 'default_hooks.checkpoint'
WRAPPED = {'type': 'RepeatDataset', 'dataset': {'type': 'CocoDataset', 'ann_file': 'x'}}
# Values of hooks, data sets, samplers, loaders, loops and the run itself: (key, value, the key that is named, words)
VALUES = [
    *(
        ('default_hooks.logger.interval', v, 'default_hooks.logger.interval', 'whole number')
        for v in (0, -5, 'ten', 1.5)
    ),
    *((f'{SAVING}.interval', v, f'{SAVING}.interval', 'whole number') for v in (0, -2, 'x', 1.5)),
    *((f'{SAVING}.max_keep_ckpts', v, f'{SAVING}.max_keep_ckpts', 'whole number') for v in (0, 'three')),
    (f'{SAVING}.by_epoch', 'yes', f'{SAVING}.by_epoch', 'True or False'),
    (f'{SAVING}.save_best', 5, f'{SAVING}.save_best', 'a word or a list'),
    (f'{SAVING}.rule', 'most', SAVING, 'greater, less or None'),
    (f'{SAVING}.save_begin', -1, f'{SAVING}.save_begin', 'at least 0'),
    (
        'default_hooks.visualization',
        {'type': 'DetVisualizationHook', 'interval': 0},
        'default_hooks.visualization.interval',
        '1',
    ),
    ('default_hooks.param_scheduler.priority', 'NOWHERE', 'default_hooks.param_scheduler.priority', 'LOW or NORMAL'),
    ('default_hooks.logger.priority', 500, 'default_hooks.logger.priority', '0 to 100'),
    ('custom_hooks', [{'type': 'EMAHook', 'momentum': 2}], 'custom_hooks.0', 'momentum must be in range'),
    ('custom_hooks', [{'type': 'EMAHook', 'momentum': 'x'}], 'custom_hooks.0', 'ExponentialMovingAverage'),
    ('custom_hooks', [{'type': 'EMAHook', 'momentun': 0.1}], 'custom_hooks.0', 'did you mean momentum?'),
    ('custom_hooks', [{'type': 'EMAHook', 'begin_iter': -1}], 'custom_hooks.0.begin_iter', 'at least 0'),
    (
        'custom_hooks',
        [{'type': 'EarlyStoppingHook', 'monitor': 'm', 'rule': 'x'}],
        'custom_hooks.0',
        '"greater" or "less"',
    ),
    (
        'custom_hooks',
        [{'type': 'EarlyStoppingHook', 'monitor': 'm', 'patience': 'x'}],
        'custom_hooks.0.patience',
        'whole',
    ),
    ('custom_hooks', [{'type': 'mmsparseswin.DivergenceHook', 'patience': 0}], 'custom_hooks.0', 'at least 1'),
    (f'{DATA}.data_prefix', 'images', f'{DATA}.data_prefix', 'a dict'),
    (f'{DATA}.data_prefix', {'img': 5}, DATA, 'prefix should be a string'),
    (f'{DATA}.metainfo', 'x', DATA, 'should be a Mapping'),
    (f'{DATA}.filter_cfg', 'x', f'{DATA}.filter_cfg', 'a dict'),
    (f'{DATA}.filter_cfg', {'min_size': 'big'}, f'{DATA}.filter_cfg.min_size', 'number of pixels'),
    (f'{DATA}.filter_cfg', {'filter_emty_gt': True}, f'{DATA}.filter_cfg', 'name it filter_empty_gt'),
    (f'{DATA}.test_mode', 'yes', f'{DATA}.test_mode', 'True or False'),
    (f'{DATA}.indices', 'x', f'{DATA}.indices', 'whole number or a list'),
    (f'{DATA}.pipeline', 'x', f'{DATA}.pipeline', 'a list'),
    (f'{DATA}.ann_file', 5, f'{DATA}.ann_file', 'a word'),
    (f'{DATA}.max_refetch', -1, f'{DATA}.max_refetch', 'at least 0'),
    *((DATA, {**WRAPPED, 'times': v}, f'{DATA}.times', 'whole number') for v in (0, -1, 1.5, 'x')),
    ('train_dataloader.sampler.shuffle', 'yes', 'train_dataloader.sampler.shuffle', 'True or False'),
    ('train_dataloader.sampler.seed', 'x', 'train_dataloader.sampler.seed', 'whole number'),
    ('train_dataloader.drop_last', 'x', 'train_dataloader', 'should be a boolean'),
    ('train_dataloader.persistent_workers', True, 'train_dataloader', 'needs num_workers > 0'),
    ('train_dataloader.prefetch_factor', 2, 'train_dataloader', 'num_workers > 0'),
    ('train_dataloader.timeout', -1, 'train_dataloader', 'timeout option should be non-negative'),
    ('train_cfg.val_begin', 'x', 'train_cfg.val_begin', 'whole number'),
    ('train_cfg.val_begin', -1, 'train_cfg.val_begin', 'at least 0'),
    ('train_cfg.dynamic_intervals', 'x', 'train_cfg.dynamic_intervals', 'a list'),
    ('log_processor', {'type': 'LogProcessor', 'window_size': 0}, 'log_processor.window_size', 'at least 1'),
    ('log_level', 'LOUD', 'log_level', 'DEBUG, INFO'),
    ('load_from', 5, 'load_from', 'a word'),
    ('randomness', {'seed': 'x'}, 'randomness.seed', 'whole number'),
    ('env_cfg', 'x', 'env_cfg', 'a dict'),
    ('val_evaluator.classwise', 'yes', 'val_evaluator.classwise', 'True or False'),
    ('val_evaluator.proposal_nums', 'x', 'val_evaluator.proposal_nums', 'a list'),
    ('optim_wrapper.accumulative_counts', 0, 'optim_wrapper', 'at least'),
    ('optim_wrapper.clip_grad', {'max_norm': -1}, 'optim_wrapper.clip_grad.max_norm', 'at least 0'),
]
RCNN = 'model.test_cfg.rcnn'
# Options of dicts without a type, which libraries read by name: (key, value, the key that is named, words)
UNTYPED = [
    (f'{RCNN}.score_threshold', 0.1, RCNN, "'score_threshold', which nothing reads; did you mean score_thr?"),
    (f'{RCNN}.max_per_image', 10, RCNN, 'did you mean max_per_img?'),
    (f'{RCNN}.nms.iou_thresh', 0.3, f'{RCNN}.nms', 'did you mean iou_threshold?'),
    (f'{RCNN}.nms.type', 'nmss', f'{RCNN}.nms.type', 'choose nms or soft_nms'),
    ('model.test_cfg.rpn.nms_prev', 10, 'model.test_cfg.rpn', 'did you mean nms_pre?'),
    ('model.train_cfg.rpn.allowed_boarder', 1, 'model.train_cfg.rpn', 'did you mean allowed_border?'),
    ('model.train_cfg.rcnn.0.pos_wait', 1, 'model.train_cfg.rcnn.0', 'did you mean pos_weight?'),
    (f'{ROI}.test_cfg', {'score_thr': 0.3}, f'{ROI}.test_cfg', 'no effect: CascadeRCNN reads model.test_cfg.rcnn'),
    ('model.rpn_head.train_cfg', {'debug': 1}, 'model.rpn_head.train_cfg', 'reads model.train_cfg.rpn'),
    ('model.init_cfg', {'chekpoint': 'x'}, 'model.init_cfg', 'has no type'),
    (f'{BACKBONE}.init_cfg', [{'checkpoint': 'x'}], f'{BACKBONE}.init_cfg.0', 'has no type'),
    (f'{DATA}.metainfo', {'clases': ['disk']}, f'{DATA}.metainfo', 'did you mean classes?'),
    (f'{DATA}.data_prefix.image', 'x', f'{DATA}.data_prefix', 'did you mean img?'),
    ('env_cfg', {'cudnn_bench': True}, 'env_cfg', 'did you mean cudnn_benchmark?'),
    ('env_cfg', {'mp_cfg': {'start_method': 'fork'}}, 'env_cfg.mp_cfg', 'did you mean mp_start_method?'),
    ('env_cfg', {'dist_cfg': {'back_end': 'gloo'}}, 'env_cfg.dist_cfg', 'did you mean backend?'),
    ('randomness', {'sed': 3}, 'randomness', 'did you mean seed?'),
    ('auto_scale_lr', {'enabled': True}, 'auto_scale_lr', 'did you mean enable?'),
    ('optim_wrapper.clip_grad', {'max_nrom': 1}, 'optim_wrapper.clip_grad', 'did you mean max_norm?'),
    (
        'optim_wrapper.paramwise_cfg',
        {'custom_keys': {'bias': {'decay_mul': 0}}},
        'optim_wrapper.paramwise_cfg.custom_keys.bias',
        'did you mean decay_mult?',
    ),
]
OF_A_CLASSIFIER = [
    ('model.head.in_channels', 96, 'model.head.in_channels', r'puts out \[768\]: set in_channels to 768'),
    ('model.head.num_classes', 'ten', 'model.head', 'cannot be built: TypeError'),
    ('model.head.loss.type', 'LabelSmoothLos', 'model.head.loss.type', 'did you mean LabelSmoothLoss?'),
    ('model.train_cfg.augments.0.type', 'Mixupp', 'model.train_cfg.augments.0.type', 'did you mean Mixup?'),
    ('model.train_cfg.augments.0.alpha', 'x', 'model.train_cfg.augments.0', 'isinstance.alpha, float'),
    ('train_dataloader.dataset.type', 'ImageNe', 'train_dataloader.dataset.type', 'did you mean ImageNet?'),
]


@cache
def read(path: str) -> Config:
    return Config.fromfile(ROOT / 'configs' / path)


def changed(path: str, key: str, value: object) -> Config:
    """The config with `value` under `key`, however wrong."""
    cfg = copy.deepcopy(read(path))
    *owners, last = key.split('.')
    node = cfg
    for name in owners:
        node = node[int(name)] if name.isdigit() else node[name]
    node[last] = value
    return cfg


@pytest.mark.parametrize(('key', 'value'), NUMBERS, ids=str)
def test_wrong_setting_is_named(key, value):
    with pytest.raises(InputError, match=key):
        check_settings(changed(DETECTOR, key, value))


@pytest.mark.parametrize(
    ('path', 'key', 'value', 'named', 'words'),
    [(DETECTOR, *row) for row in BUILT + VALUES + UNTYPED] + [(CLASSIFIER, *row) for row in OF_A_CLASSIFIER],
    ids=str,
)
def test_what_cannot_be_built_is_named_with_the_nearest_right_thing(path, key, value, named, words):
    cfg = changed(path, key, value)
    before = cfg.to_dict()
    with pytest.raises(InputError, match=words) as error:
        check_settings(cfg)
    text = str(error.value)
    assert text.startswith(named)
    assert text[len(named)] in ' :'
    assert '\n' not in text
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    ('key', 'value'),
    [('neck.in_channels', [96, 192, 384, 768]), ('backbone.out_indices', (1, 2)), ('neck.in_channels', [48])],
)
def test_channels_that_do_not_fit_are_named_with_those_that_would(key, value):
    right = list(read(DETECTOR).model.neck.in_channels)
    with pytest.raises(InputError, match=r'model\.neck\.in_channels') as error:
        check_settings(changed(DETECTOR, f'model.{key}', value))
    given = right if key.startswith('neck') else [right[index] for index in value]
    assert f'puts out {given}' in str(error.value)


def test_a_missing_file_of_weights_is_named():
    cfg = changed(DETECTOR, f'{BACKBONE}.init_cfg', {'type': 'Pretrained', 'checkpoint': 'nowhere.pth'})
    with pytest.raises(InputError, match=r"backbone\.init_cfg\.checkpoint is 'nowhere\.pth': there is no such file"):
        check_pretrained_files(cfg)
    cfg.model.backbone.init_cfg.checkpoint = 'https://somewhere/weights.pth'
    check_pretrained_files(cfg)


@pytest.mark.parametrize('path', [DETECTOR, CLASSIFIER])
def test_right_config_passes_and_stays_as_it_is(path):
    cfg = copy.deepcopy(read(path))
    before = cfg.to_dict()
    check_settings(cfg)
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        (f'{SAVING}.interval', -1),  # never
        (f'{DATA}.max_refetch', 0),
        (f'{DATA}.filter_cfg', {'filter_empty_gt': False, 'min_size': 0}),
        (DATA, {'type': 'RepeatDataset', 'times': 2, 'dataset': {'type': 'CocoDataset', 'ann_file': 'nowhere.json'}}),
        ('train_cfg.val_begin', 0),
        ('custom_hooks', [{'type': 'EMAHook', 'momentum': 1e-3}, {'type': 'SyncBuffersHook', 'priority': 70}]),
        ('default_hooks.visualization', {'type': 'DetVisualizationHook', 'draw': True, 'interval': 3}),
        ('val_dataloader.batch_sampler', {'type': 'AspectRatioBatchSampler'}),
        ('train_dataloader.sampler', {'type': 'ClassAwareSampler'}),  # asks the data set
    ],
    ids=str,
)
def test_right_values_pass(key, value):
    check_settings(changed(DETECTOR, key, value))


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_right_configs_pass(path):
    check_settings(Config.fromfile(path))
