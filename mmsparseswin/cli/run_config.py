"""From a config file and the command line to a Runner, for mmdet and mmpretrain configs alike."""

import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_distributed
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmsparseswin import mim
from mmsparseswin.cli.class_check import check_pretrained_files
from mmsparseswin.cli.config_check import check_settings
from mmsparseswin.cli.config_tree import LOADERS
from mmsparseswin.cli.config_variables import refuse_variable
from mmsparseswin.cli.gloo_group import join_gloo
from mmsparseswin.cli.option_check import prepare_option
from mmsparseswin.cli.run_tool import rank
from mmsparseswin.engine.precision import asked_precision, choose_precision
from mmsparseswin.errors import InputError

# The attributes that hold a backbone in a model, the outermost first.
_HOLDERS = ('module', 'detector', 'backbone')
_OURS = 'mmsparseswin.PrecisionOptimWrapper'
_WRAPPERS = ('OptimWrapper', 'AmpOptimWrapper', _OURS)


def load_config(path: str, options: dict[str, Any] | None = None) -> Config:
    """Read a config and merge `options` ('a.b.c' -> value) into it.

    ``data_root=DIR`` moves every path of the config that lies under its `data_root`, annotation files of metrics
    included; in mmengine it would only change a variable that nothing reads any more.

    Raises:
        InputError: no such file, a file that does not run, an option that names nothing in it or that would have no
            effect.
    """
    path = mim.resolve(path)
    if not Path(path).is_file():
        raise InputError(f'no config at {path}')
    try:
        cfg = Config.fromfile(path)
    except Exception as error:
        raise InputError(f'config {path}: {type(error).__name__}: {error}') from error
    merge_options(cfg, dict(options or {}))
    return cfg


def merge_options(cfg: Config, options: dict[str, Any]) -> None:
    """Merge `options` into `cfg`, as :func:`load_config` does.

    Raises:
        InputError: an option that names nothing in it or that would have no effect.
    """
    for name, value in options.items():
        prepare_option(cfg, name)
        if name != 'data_root':
            refuse_variable(cfg, name, value)
    if isinstance(old_root := cfg.get('data_root'), str) and 'data_root' in options:
        new_root = str(options['data_root'])
        for name in list(cfg):
            cfg[name] = _map_strings(cfg[name], lambda text: _move(text, old_root, new_root))
    try:
        cfg.merge_from_dict(options)
    except (KeyError, TypeError) as error:
        raise InputError(f'--cfg-options: {error.args[0]}') from error


def _map_strings(node: Any, change: Callable[[str], str]) -> Any:
    if isinstance(node, str):
        return change(node)
    if isinstance(node, dict):
        return type(node)({key: _map_strings(value, change) for key, value in node.items()})
    if isinstance(node, (list, tuple)):
        return type(node)(_map_strings(value, change) for value in node)
    return node


def _move(text: str, old_root: str, new_root: str) -> str:
    if text.rstrip('/') == old_root.rstrip('/'):
        return new_root
    prefix = old_root.rstrip('/') + '/'
    return os.path.join(new_root, text[len(prefix) :]) if text.startswith(prefix) else text


def set_work_dir(cfg: Config, work_dir: str | None, config_path: str) -> None:
    """Choose the work dir (command line, then config, then work_dirs/<config name>) and see that it can be written."""
    cfg.work_dir = work_dir or cfg.get('work_dir') or os.path.join('work_dirs', Path(mim.resolve(config_path)).stem)
    try:
        os.makedirs(cfg.work_dir, exist_ok=True)
        with tempfile.TemporaryFile(dir=cfg.work_dir):
            pass
    except OSError as error:
        raise InputError(
            f'cannot write to the work dir {cfg.work_dir}: {error.strerror}; choose one with --work-dir'
        ) from None


def set_dataloaders(cfg: Config, pin_memory: bool = True, persistent_workers: bool = True) -> None:
    """Give data loaders what the library's own tools give them, and drop what contradicts itself."""
    for loader in filter(None, (cfg.get(name) for name in LOADERS)):
        if cfg.get('default_scope') == 'mmpretrain':
            loader.setdefault('collate_fn', dict(type='default_collate'))
            loader.setdefault('pin_memory', torch.cuda.is_available())
            loader.setdefault('persistent_workers', True)
        if not pin_memory:
            loader.pin_memory = False
        if not persistent_workers or loader.get('num_workers', 0) == 0:
            loader.persistent_workers = False  # torch refuses persistent workers where there are none


def set_precision(cfg: Config, amp: bool | None) -> None:
    """Set the precision of training: by --amp or --no-amp, else by MMSPARSESWIN_PRECISION, else by the config.

    A config's AmpOptimWrapper works on GPUs only; on a CPU it becomes a PrecisionOptimWrapper, in bfloat16 if the
    config names it, else in what pays there. --amp on a GPU is float16 where the config does not ask for bfloat16.
    """
    wrapper, wanted = cfg.get('optim_wrapper'), asked_precision(amp)
    if wrapper is None:
        return
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in _WRAPPERS:
        if amp:
            raise InputError(f'--amp changes an OptimWrapper into one of mixed precision; this config has a {kind}')
        return
    on_gpu, is_ours = get_device() != 'cpu', kind == _OURS
    if wanted is None:
        if kind == 'AmpOptimWrapper' and not on_gpu:
            _set_wrapper(wrapper, 'bfloat16' if wrapper.get('dtype') == 'bfloat16' else 'auto')
    elif amp and on_gpu and not (is_ours and choose_precision()[0] == 'bfloat16'):
        wrapper.pop('precision', None)
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')
    elif (kind, wanted) != ('OptimWrapper', 'float32'):
        _set_wrapper(wrapper, wanted)


def _set_wrapper(wrapper: ConfigDict, precision: str) -> None:
    for name in ('loss_scale', 'dtype', 'use_fsdp'):
        wrapper.pop(name, None)
    wrapper.update(type=_OURS, precision=precision)


def set_test_precision(cfg: Config, amp: bool | None) -> None:
    """Test under autocast if --amp or MMSPARSESWIN_PRECISION asks for it; in float32 otherwise."""
    if tests_in_half(amp):
        cfg.test_cfg.fp16 = True  # mmengine's name for autocast; bfloat16 on a CPU


def tests_in_half(amp: bool | None) -> bool:
    """Return True if --amp or MMSPARSESWIN_PRECISION asks for predictions under autocast."""
    wanted = asked_precision(amp)
    return wanted is not None and choose_precision(wanted)[0] == 'bfloat16'


def set_launcher(cfg: Config, launcher: str) -> None:
    """Name the launcher; without a GPU let processes meet over gloo, which mmengine's own start-up cannot."""
    cfg.launcher = launcher
    if launcher == 'none' or torch.cuda.is_available():
        return
    if launcher == 'mpi':
        raise InputError('--launcher mpi needs GPUs; on CPUs use tools/dist_train.sh or tools/slurm_train.sh')
    env = cfg.setdefault('env_cfg', ConfigDict())
    env.setdefault('dist_cfg', ConfigDict()).backend = 'gloo'
    # DistributedDataParallel refuses device_ids for a model in main memory; mmengine passes them unless told otherwise.
    cfg.setdefault(
        'model_wrapper_cfg',
        ConfigDict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        ),
    )
    cfg.model_wrapper_cfg.device_ids = None


def check_device(device: str | None) -> None:
    """Refuse to train or test elsewhere than on `device`: mmengine's Runner takes a GPU wherever there is one.

    Raises:
        InputError: `device` is of another kind.
    """
    if device is not None and device.partition(':')[0] != get_device():
        here = f'training and evaluation run on {get_device()} here'
        raise InputError(f'device {device!r}: {here}; CUDA_VISIBLE_DEVICES= hides GPUs if set before Python starts')


def set_epochs(cfg: Config, epochs: int) -> None:
    """Train `epochs` epochs instead of the config's number, and stretch every schedule that is counted in epochs alike.

    Raises:
        InputError: fewer than one, or a training that is not counted in epochs.
    """
    old = cfg.get('train_cfg', {}).get('max_epochs')
    if epochs < 1 or not old:
        raise InputError(f'--epochs {epochs}: must be at least 1, and train_cfg.max_epochs of the config a number')
    cfg.train_cfg.max_epochs = epochs
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
        if scheduler.get('by_epoch', True):
            _stretch(scheduler, epochs / old)


def _stretch(scheduler: ConfigDict, factor: float) -> None:
    """Multiply what is counted in epochs; a phase keeps a quarter of an epoch, or a whole one if it is counted so."""
    by_step = scheduler.get('convert_to_iter_based', False)

    def scaled(epochs: float) -> float:
        return max(epochs * factor, 0.25) if by_step else max(round(epochs * factor), 1)

    to_its_end = scheduler.get('T_max') == scheduler.get('end', 0) - scheduler.get('begin', 0)
    for name in ('begin', 'end', 'T_max', 'step_size', 'milestones', 'periods', 'warm_up'):
        value = scheduler.get(name)
        if isinstance(value, (list, tuple)):
            scheduler[name] = [scaled(one) for one in value]
        elif value:
            scheduler[name] = scaled(value)
    if to_its_end:
        scheduler.T_max = scheduler.end - scheduler.get('begin', 0)


def set_pretrained(cfg: Config, checkpoint: str) -> None:
    """Start the backbone, the innermost one if they are nested, from `checkpoint` of any source.

    Raises:
        InputError: the config's backbone is not one of ours.
    """
    from mmsparseswin.backbones.base import is_backbone

    node, path = cfg.model, 'model'
    while inner := [name for name in _HOLDERS if isinstance(node.get(name), dict)]:
        node, path = node[inner[0]], f'{path}.{inner[0]}'
    if not is_backbone(node):
        raise InputError(f'--pretrained starts a backbone of mmsparseswin; {path} is {node.get("type")}')
    node.init_cfg = ConfigDict(type='Pretrained', checkpoint=checkpoint)


def add_hook(cfg: Config, hook: dict[str, Any]) -> None:
    """Put `hook` among the custom hooks, in the place of one of its type."""
    others = [other for other in cfg.get('custom_hooks') or [] if other['type'] != hook['type']]
    cfg.custom_hooks = [*others, hook]


def set_checkpoint_hook(cfg: Config) -> None:
    """Save checkpoints whole or not at all, where the config saves them as mmengine does."""
    hooks = cfg.setdefault('default_hooks', ConfigDict())
    saving = hooks.setdefault('checkpoint', ConfigDict(type='CheckpointHook', interval=1))
    if saving is not None and saving.get('type') == 'CheckpointHook':
        saving.type = 'mmsparseswin.SafeCheckpointHook'


def set_stopping(cfg: Config) -> None:
    """Stop on SIGTERM and SIGINT with a checkpoint, and resume in the middle of an epoch where mmengine's loop runs."""
    add_hook(cfg, dict(type='mmsparseswin.StopSignalsHook'))
    loop = cfg.get('train_cfg')
    if loop and (loop.get('type') == 'EpochBasedTrainLoop' or ('type' not in loop and loop.get('by_epoch'))):
        loop.pop('by_epoch', None)
        loop.type = 'mmsparseswin.ResumableTrainLoop'


def check_data(cfg: Config, splits: tuple[str, ...]) -> None:
    """Look at the data before anything starts: refuse what cannot work, repair what is certain, log what is odd.

    Repaired copies of annotation files go into the folder ``data_check`` of the work dir. Each process of a distributed
    run checks by itself, but only the first one looks at pictures and speaks.
    """
    check_settings(cfg)
    if 'train' in splits and not cfg.get('resume'):
        check_pretrained_files(cfg)
    use_our_loader(cfg._cfg_dict)
    repair_dir = os.path.join(cfg.work_dir, 'data_check') if cfg.get('work_dir') else None
    if cfg.get('default_scope') == 'mmdet':
        from mmsparseswin.detection.data_check.datasets import check_config  # only detectors need mmdet

        checked = check_config(cfg, splits, repair_dir=repair_dir, look_at_pictures=rank() == 0)
        notes = [note for one in checked for note in one.notes]
    else:
        from mmsparseswin.classification.folder_check import check_classifier  # only classifiers need mmpretrain

        notes = check_classifier(cfg, splits, repair_dir)
    if notes:
        add_hook(cfg, dict(type='mmsparseswin.DataNotesHook', notes=list(dict.fromkeys(notes))))


def use_our_loader(node: Any) -> None:
    """Put our LoadImageFromFile, which names damaged pictures, in the place of mmcv's in all pipelines of a config."""
    if isinstance(node, dict):
        if node.get('type') in ('LoadImageFromFile', 'mmcv.LoadImageFromFile') and 'file_client_args' not in node:
            node['type'] = 'mmsparseswin.LoadImageFromFile'
        for value in list(node.values()):
            use_our_loader(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            use_our_loader(value)


def build_runner(cfg: Config) -> Runner:
    """Build the Runner, joining the gloo group first if there is no GPU (mmengine's start-up selects a CUDA device)."""
    if cfg.launcher != 'none' and not torch.cuda.is_available() and not is_distributed():
        join_gloo(cfg.launcher)
    visualizer = cfg.get('visualizer') or ConfigDict()
    if visualizer.get('name') and Visualizer.check_instance_created(visualizer.name):
        visualizer.name = f'{visualizer.name} {uuid.uuid4().hex}'  # that of an earlier run writes into its folder
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, {torch.get_num_threads()} threads'
    runner.logger.info(
        f'PyTorch {torch.__version__} on {device}; processes: {get_world_size()}; seed {runner.seed}; '
        f'the whole config and log: {runner.log_dir}'
    )
    return runner
