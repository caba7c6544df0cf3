"""Time backbones, detectors and classifiers beside the Swins of mmdet, mmpretrain, timm and torchvision.

    python tools/analysis_tools/benchmark.py swin-tiny mmdet:swin-t timm:swin-t --sizes 8x224x224 --check
    python tools/analysis_tools/benchmark.py swin-tiny@bf16 mmdet:swin-t@autocast-bf16 --sizes 1x800x1344 --output maps
    python tools/analysis_tools/benchmark.py swin-tiny mmdet:swin-t --train --peer mmdet:swin-t --out run.json
    python tools/analysis_tools/benchmark.py --preset issue-cpu

Models are names of mmsparseswin.list_models(), also with options (swin-tiny:with_cp=True), configs, or peers
LIBRARY:swin-t|s|b, each with @PRECISION, @compiled or @eager behind it if it differs from --dtypes and --compile. Every
round runs each once, in turning order; what is printed are medians with quartiles: docs/benchmarks/README.md.
"""

import argparse
import contextlib
import json
import subprocess
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import load

from mmsparseswin import cli
from mmsparseswin.analysis import benchmark, speed
from mmsparseswin.analysis import benchmark_report as report
from mmsparseswin.analysis.benchmark import Settings
from mmsparseswin.analysis.benchmark_comparison import compare
from mmsparseswin.analysis.contestants import Contestant, Size, parse_contestants
from mmsparseswin.analysis.operator_shares import operator_shares
from mmsparseswin.analysis.peers import OUTPUTS
from mmsparseswin.analysis.speed import PRECISIONS
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory, map_large_blocks

_SQUARES = [f'1x{side}x{side}' for side in (224, 448, 896, 1792)]
_PRESETS = Path(__file__).parent / 'benchmark_presets'
_MALLOCS = dict(default=None, keep=keep_freed_memory, map=map_large_blocks)


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('models', nargs='*', metavar='MODEL')
    parser.add_argument('--sizes', nargs='+', metavar='BxHxW', help='default 8x224x224')
    parser.add_argument('--dtypes', dest='precisions', nargs='+', metavar='TYPE', help=f'of {", ".join(PRECISIONS)}')
    parser.add_argument(
        '--output',
        choices=OUTPUTS,
        help='of all backbones: pooled (default), the last stage normalised and averaged; maps, four normalised maps',
    )
    parser.add_argument('--part', metavar='NAME', help='measure this module of the models alone, e.g. stages.3')
    parser.add_argument('--train', dest='training', action='store_true', default=None, help='forward and backward')
    parser.add_argument('--compile', dest='compiled', action='store_true', default=None, help='with torch.compile')
    parser.add_argument('--peer', dest='peers', nargs='+', metavar='MODEL', help='give ratios to these, too')
    parser.add_argument('--check', action='store_true', default=None, help='compare outputs on shared weights first')
    parser.add_argument('--scaling', action='store_true', default=None, help='growth of time with image area')
    parser.add_argument('--no-memory', dest='memory', action='store_false', default=None, help='time only')
    parser.add_argument('--device', choices=['cpu', 'cuda'])
    parser.add_argument('--threads', type=int, help="default: PyTorch's")
    parser.add_argument('--min-rounds', type=int, help='default 5')
    parser.add_argument('--seconds', type=float, help='of repetitions per model and size; default 10')
    parser.add_argument('--profile', action='store_true', default=None, help='tell where the time goes, too')
    parser.add_argument('--malloc', choices=_MALLOCS, help='keep: the process keeps freed memory; map: it keeps none')
    parser.add_argument('--preset', metavar='NAME', help=f'runs and goals of a file, one of {presets()} or a path')
    parser.add_argument(
        '--out', type=Path, metavar='FILE.json', help='results; a table .md and a picture .png beside it'
    )
    parser.add_argument(
        '--compare', nargs=2, metavar=('BEFORE.json', 'AFTER.json'), help='two results, measuring nothing'
    )
    parser.add_argument('--memory-of', help=argparse.SUPPRESS)
    return parser.parse_args()


def presets() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in _PRESETS.glob('*.yml'))


def read_preset(name: str) -> dict[str, Any]:
    """Runs and goals of a preset."""
    path = _PRESETS / f'{name}.yml' if name in presets() else Path(name)
    if not path.is_file():
        raise InputError(f'--preset {name}: no such file, and none of {presets()}')
    preset = load(path)
    sizes = {run.get('name'): run.get('sizes', []) for run in preset['runs']}
    for goal in preset.get('goals', []):
        if 'size' not in goal and len(sizes.get(goal['run'], [])) > 1:
            raise InputError(f'goal {goal["work"]!r}: name the size it is for, one of {sizes[goal["run"]]}')
    report.judge(preset.get('goals', []), [])  # a goal that says nothing is refused before anything is measured
    return preset


def read_result(path: str) -> dict[str, Any]:
    """Read a result that `--out` wrote."""
    try:
        result = json.loads(Path(path).read_text())
        return dict(environment=result['environment'], runs=result['runs'])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f'--compare {path}: not a result of this benchmark ({error})') from None


def settings_of(args: argparse.Namespace, run: dict[str, Any]) -> Settings:
    """What a preset's run says, unless the command line says otherwise."""
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(set(run) - known - {'name'}):
        raise InputError(f'preset: {unknown} are no settings; choose of {sorted(known)}')
    given = {name: value for name in known if (value := getattr(args, name, None)) not in (None, [])}
    settings = Settings(**{**{key: run[key] for key in run if key != 'name'}, **given})
    if settings.scaling and 'sizes' not in {**run, **given}:
        settings.sizes = _SQUARES
    if settings.malloc not in _MALLOCS:
        raise InputError(f'preset: malloc {settings.malloc!r} is unknown; choose one of {list(_MALLOCS)}')
    if settings.part and settings.check:
        raise InputError('--part cannot be used with --check, which compares whole models')
    if settings.device == 'cuda' and not torch.cuda.is_available():
        raise InputError('--device cuda: there is no GPU here; use cpu')
    return settings


def contestants_of(settings: Settings) -> list[Contestant]:
    """All models in all their precisions."""
    if not settings.models:
        raise InputError('name at least one model, e.g. swin-tiny, or a --preset')
    found = [c for text in settings.models for c in parse_contestants(text, settings.precisions, settings.compiled)]
    contestants = list(dict.fromkeys(found))
    benchmark.require_named(settings, contestants)
    return contestants


def configure(settings: Settings) -> None:
    """Threads and malloc of this process."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    setting = _MALLOCS[settings.malloc]
    if setting and not setting():
        raise InputError(f'--malloc {settings.malloc}: this C library has no mallopt; leave it out')


def measure_memory(request: str) -> int:
    """Peak bytes of one case, in this fresh process."""
    case = json.loads(request)
    settings = Settings(**case['settings'])
    configure(settings)
    contestant, size = Contestant(**case['contestant']), Size.parse(case['size'])
    if settings.device == 'cpu':
        speed.touch_libraries(PRECISIONS[contestant.precision], settings.training)
    step = benchmark.prepare(contestant, size, settings, count=False).step
    if contestant.compiled:
        step()
    return speed.peak_memory(step, settings.device)


def memory_of(contestant: Contestant, size: Size, settings: Settings) -> dict[str, int]:
    """Bytes at the peak of one case: resident ones, and what is allocated. A GPU has one number for both."""
    resident = memory_in_child(contestant, size, settings)
    allocated = resident
    if settings.device == 'cpu':
        allocated = memory_in_child(contestant, size, replace(settings, malloc='map'))
    return dict(peak_memory=resident, peak_allocated=allocated)


def memory_in_child(contestant: Contestant, size: Size, settings: Settings) -> int:
    """Peak bytes of one case, measured in a process of its own."""
    case = dict(contestant=asdict(contestant), size=str(size), settings=asdict(settings))
    command = [sys.executable, __file__, '--memory-of', json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'memory of {contestant} at {size}:\n{done.stderr}')
    return int(done.stdout.split()[-1])


def tell(line: str) -> None:
    """Progress, beside the results."""
    print(line, file=sys.stderr, flush=True)


def run(settings: Settings, part: dict[str, Any]) -> None:
    """Run all comparisons of `settings`; `part` is filled as they come."""
    contestants = contestants_of(settings)
    sizes = [Size.parse(text) for text in settings.sizes]
    for group in [sizes] if settings.scaling else [[size] for size in sizes]:
        cases = [(contestant, size) for contestant in contestants for size in group]
        entries, left_out = benchmark.prepare_all(cases, settings, tell)
        part['left_out'].update(left_out)
        if settings.check:
            benchmark.check(entries, settings)
            tell('\n'.join(f'{e} differs from {p} by {d:.1e}' for e in entries for p, d in e.checked.items()))
        memory: dict[str, dict[str, int]] = {}
        if settings.memory:
            for entry in entries:
                memory[str(entry)] = memory_of(entry.contestant, entry.size, settings)
                peaks = ' and '.join(f'{name} {size / 2**20:.0f} MiB' for name, size in memory[str(entry)].items())
                tell(f'{entry}: {peaks}')
        rates: dict[str, list[float]] = {}
        try:
            benchmark.race(entries, settings, rates, tell)
            if settings.profile:
                for entry in entries:
                    entry.operators = operator_shares(entry.step, settings.device)
        finally:  # an interrupted race leaves its complete rounds
            if entries[0].times:
                part['records'] += benchmark.records(entries, settings, rates, memory)
                part['rates'].append({name: speed.Spread.of(values)._asdict() for name, values in rates.items()})


def main() -> None:
    """Measure, print, write."""
    args = parse_args()
    if args.memory_of:
        with contextlib.redirect_stdout(sys.stderr):
            peak = measure_memory(args.memory_of)
        print(peak)
        return
    if args.compare:
        print(compare(*map(read_result, args.compare)))
        return
    preset = read_preset(args.preset) if args.preset else dict(runs=[{}])
    plans = [settings_of(args, run) for run in preset['runs']]
    for plan in plans:
        contestants_of(plan)
    result: dict[str, Any] = dict(environment=report.environment(), runs=[], goals=[], interrupted=False)
    out = args.out or (Path('docs/benchmarks') / f'{Path(args.preset).stem}.json' if args.preset else None)
    try:
        for plan, given in zip(plans, preset['runs'], strict=True):
            name = given.get('name', 'run')
            part: dict[str, Any] = dict(name=name, settings=asdict(plan), records=[], rates=[], left_out={}, growth={})
            result['runs'].append(part)
            with contextlib.redirect_stdout(sys.stderr):  # libraries greet on stdout, which is the report's
                configure(plan)
                part['threads'] = torch.get_num_threads()
                try:
                    run(plan, part)
                finally:
                    part['growth'] |= benchmark.growths(part['records']) if plan.scaling else {}
    except KeyboardInterrupt:
        result['interrupted'] = True
        tell('stopped: what was measured is kept')
    result['goals'] = report.judge(preset.get('goals', []), result['runs'])
    print(report.as_markdown(result))
    if out:
        tell('wrote ' + ', '.join(map(str, report.write(result, out))))
    if result['interrupted']:
        sys.exit(130)


if __name__ == '__main__':
    cli.run_tool(main)
