"""Evaluate weights by a config: what tools/test.py and `mmsparseswin.load(...).evaluate()` share."""

from dataclasses import dataclass

from mmengine.config import Config
from mmengine.runner import Runner

from mmsparseswin.checkpoints.training_files import check_checkpoint_file
from mmsparseswin.cli import evaluation_config, run_config, strategies
from mmsparseswin.cli.exported_predictor import check_classes, is_exported, set_exported
from mmsparseswin.errors import InputError


@dataclass
class Pictures:
    """Pictures of predictions beside the truth: where they go, and of how many images."""

    folder: str | None = None
    show: bool = False
    interval: int = 1
    wait_time: float = 2


def evaluate(
    cfg: Config,
    checkpoint: str,
    *,
    launcher: str = 'none',
    amp: bool | None = None,
    pin_memory: bool = True,
    tta: bool = False,
    pictures: Pictures | None = None,
    dump: str | None = None,
    trust: bool = False,
) -> tuple[dict[str, float], Runner, list[str]]:
    """Evaluate `checkpoint` on the test data of `cfg`, whose work dir is set; options are those of tools/test.py.

    Args:
        cfg: the config, changed in place.
        checkpoint: file of the weights, or an exported .onnx or .xml, which runs on the CPU.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
        amp: mixed precision, float32, or None, as the environment says.
        pin_memory: pinned memory in the data loaders.
        tta: test-time augmentation.
        pictures: draw predictions.
        dump: file for raw predictions (.pkl).
        trust: read the checkpoint by pickle.

    Returns:
        The metrics, the runner, and the files that COCO predictions may have been written to.

    Raises:
        InputError: a wrong config, checkpoint or data set.
    """
    exported = is_exported(checkpoint)
    if exported and (launcher != 'none' or amp or tta):
        raise InputError('an exported file runs in one process in float32: leave out --launcher, --amp and --tta')
    if not exported:
        check_checkpoint_file(checkpoint, trust)
    run_config.set_launcher(cfg, launcher)
    strategies.drop_strategy(cfg)
    run_config.set_dataloaders(cfg, pin_memory)
    cfg.load_from, cfg.resume = None if exported else checkpoint, False
    if not exported:
        run_config.set_test_precision(cfg, amp)
    if tta:
        evaluation_config.set_tta(cfg)
    if pictures:
        evaluation_config.set_pictures(cfg, pictures.folder, pictures.show, pictures.interval, pictures.wait_time)
    if dump:
        evaluation_config.add_dump(cfg, dump)
    json_files = evaluation_config.set_coco_json(cfg)
    run_config.check_data(cfg, ('test',))
    if exported:
        set_exported(cfg, checkpoint)
    else:
        run_config.add_hook(cfg, dict(type='mmsparseswin.CheckpointGuardHook', strict=True, trust=trust))
    runner = run_config.build_runner(cfg)
    if exported:
        check_classes(runner, checkpoint)
    return runner.test(), runner, json_files
