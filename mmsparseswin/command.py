"""Run the tools by short names as `mmsparseswin NAME`, from a clone, an editable install or a wheel."""

import difflib
import os
import runpy
import sys
from pathlib import Path
from types import ModuleType

from mmsparseswin.errors import InputError
from mmsparseswin.locations import PACKAGE, folder

# name -> (file below tools/, or a module; what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    'quickstart': ('quickstart.py', 'draw a small data set, train a detector on it for minutes, print its mAP'),
    'doctor': ('mmsparseswin.doctor', 'check this installation and name the command that repairs it'),
    'train': ('train.py', 'train a detector, a classifier or a network that draws'),
    'test': ('test.py', 'evaluate a checkpoint'),
    'dist-train': ('launch.py', 'train on several GPUs or with several processes'),
    'dist-test': ('launch.py', 'evaluate on several GPUs or with several processes'),
    'predict': ('predict.py', 'detect or classify objects in images'),
    'demo': ('demo.py', 'show models on a page in the browser'),
    'browse': ('visualization/browse_dataset.py', 'draw samples of a data set after augmentation, or its errors'),
    'dataset-report': ('visualization/dataset_report.py', 'write a page about the data sets of a detector'),
    'mistakes': ('visualization/mistakes.py', 'test a checkpoint and write a page about its mistakes'),
    'analyze': ('visualization/mistakes.py', 'the same as mistakes'),
    'cam': ('visualization/cam.py', 'draw what predictions go by (Grad-CAM), and feature maps'),
    'embed': ('visualization/embed.py', 'draw features of images in the plane (t-SNE)'),
    'curves': ('visualization/curves.py', 'draw losses and scores of runs, or the learning rate of a config'),
    'generate': ('generate.py', 'draw pictures of given classes with a trained SwinUNet'),
    'export': ('export.py', 'write a model as ONNX, OpenVINO, torch.export or TorchScript, and prove it'),
    'convert': ('model_converters/convert.py', 'convert Swin or SparseSwin weights of other libraries to ours'),
    'publish': ('model_converters/publish.py', 'write the weights of a checkpoint for others, with a model card'),
    'print-config': ('misc/print_config.py', 'print a config with its bases merged, or one part of it'),
    'check-data': ('misc/check_dataset.py', 'check the COCO data sets of a config and count their contents'),
    'draw-shapes': ('dataset_tools/draw_shapes.py', 'draw the embedded data set'),
    'subset-coco': ('dataset_tools/subset_coco.py', 'write the first images of a COCO file to a new file'),
    'voc-to-coco': ('dataset_tools/voc_to_coco.py', 'convert Pascal VOC labels to COCO JSON'),
    'masks-to-coco': ('dataset_tools/masks_to_coco.py', 'convert pictures with a mask PNG per object to COCO JSON'),
    'yolo-to-coco': ('dataset_tools/yolo_to_coco.py', 'convert YOLO labels to COCO JSON'),
    'flops': ('analysis_tools/get_flops.py', 'count parameters, MACs, FLOPs and activations'),
    'benchmark': ('analysis_tools/benchmark.py', 'time backbones, detectors and classifiers beside other libraries'),
    'export-matrix': ('analysis_tools/export_matrix.py', 'export models in every format and precision, in one table'),
    'sweep': ('analysis_tools/sweep.py', 'find the settings of a trained model that give most accuracy for the time'),
    'profile-job': ('analysis_tools/profile_job.py', 'profile a training or test by part'),
    'extract-features': ('analysis_tools/extract_features.py', "write a classifier's features and draw its attention"),
    'equal-budget': ('experiments/equal_budget.py', 'train several configs for the same minutes and compare them'),
    'pretrain-then-detect': (
        'experiments/pretrain_then_detect.py',
        'train a detector from a pretrained classifier and from scratch',
    ),
    'ssd-grid': ('experiments/ssd_grid.py', 'compare slim SSDs, six backbones by four necks'),
    'sparse-swin-det': (
        'experiments/sparse_swin_det.py',
        'train SparseSwinDet with each published fault switched alone',
    ),
    'window-gate': ('experiments/window_gate.py', 'train small models and show what leaving windows out costs'),
}
# dist-* -> (tool, its positional arguments before the number of processes)
_DISTRIBUTED = {'dist-train': ('train.py', ['CONFIG']), 'dist-test': ('test.py', ['CONFIG', 'CHECKPOINT'])}


def usage() -> str:
    """Return the list of commands, one per line."""
    width = max(map(len, COMMANDS))
    lines = [f'  {name:{width}}  {text}' for name, (_, text) in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: mmsparseswin COMMAND [OPTIONS]',
            '',
            *lines,
            '',
            'mmsparseswin COMMAND --help    the options of a command',
            'mmsparseswin --version         the version',
        ]
    )


def main(argv: list[str] | None = None) -> None:
    """Run the command that `argv` names and exit with the code of its tool."""
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ['--help']
    name = name if name.startswith('-') else name.replace('_', '-')  # print_config is print-config
    if name in ('-h', '--help', 'help'):
        print(usage())
        return
    if name in ('-V', '--version'):
        from mmsparseswin import __version__

        print(f'mmsparseswin {__version__}')
        return
    try:
        run(name, arguments)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)


def run(name: str, arguments: list[str]) -> None:
    """Run one tool in this process, as if its file had been called.

    Raises:
        InputError: no such command; the message suggests the nearest one.
    """
    if name not in COMMANDS:
        close = [known for known in COMMANDS if known.startswith(name)] or difflib.get_close_matches(
            name, COMMANDS, n=1
        )
        hint = f'did you mean {close[0]}? ' if close else ''
        raise InputError(f'mmsparseswin has no command {name!r}; {hint}mmsparseswin --help lists them')
    target, _ = COMMANDS[name]
    if name in _DISTRIBUTED:
        arguments = _distributed(name, arguments)
    # A tool that starts others must find this package even if it is not installed.
    os.environ['PYTHONPATH'] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get('PYTHONPATH')]))
    sys.argv = [f'mmsparseswin {name}', *arguments]
    if target.endswith('.py'):
        run_file(folder('tools') / target)
    else:
        runpy.run_module(target, run_name='__main__')


def run_file(path: Path) -> None:
    """Run a file as ``__main__``; unlike runpy, keep sys.argv[0], which argparse shows as the name of the program."""
    module = ModuleType('__main__')
    module.__file__ = str(path)
    sys.modules['__main__'] = module  # multiprocessing looks up functions of started processes here
    exec(compile(path.read_bytes(), path, 'exec'), module.__dict__)


def _distributed(name: str, arguments: list[str]) -> list[str]:
    """Turn the arguments of tools/dist_*.sh, CONFIG GPUS or CONFIG CHECKPOINT GPUS, into those of tools/launch.py."""
    tool, first = _DISTRIBUTED[name]
    if not set(arguments).isdisjoint(('-h', '--help')):
        print(f'usage: mmsparseswin {name} {" ".join(first)} GPUS [options of mmsparseswin {tool[:-3]}]')
        sys.exit()
    if len(arguments) <= len(first):
        raise InputError(f'usage: mmsparseswin {name} {" ".join(first)} GPUS [options of mmsparseswin {tool[:-3]}]')
    paths, gpus, rest = arguments[: len(first)], arguments[len(first)], arguments[len(first) + 1 :]
    return [gpus, str(folder('tools') / tool), *paths, '--launcher', 'pytorch', *rest]
