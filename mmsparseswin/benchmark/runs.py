"""What the benchmark's command does with its options and presets: run after run, into one result."""

import contextlib
import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.fileio import load

from mmsparseswin.benchmark import comparison, report, timing
from mmsparseswin.benchmark.cases import Contestant, Size, parse_contestants
from mmsparseswin.benchmark.comparison import Settings
from mmsparseswin.benchmark.operator_profile import operator_shares
from mmsparseswin.benchmark.timing import PRECISIONS
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory, map_large_blocks

_SQUARES = [f'1x{side}x{side}' for side in (224, 448, 896, 1792)]
MALLOCS = dict(default=None, keep=keep_freed_memory, map=map_large_blocks)


def read_preset(path: Path) -> dict[str, Any]:
    """Runs and goals of a preset."""
    preset = load(path)
    sizes = {run.get('name'): run.get('sizes', []) for run in preset['runs']}
    for goal in preset.get('goals', []):
        if 'size' not in goal and len(sizes.get(goal['run'], [])) > 1:
            raise InputError(f'goal {goal["work"]!r}: name the size it is for, one of {sizes[goal["run"]]}')
    report.judge(preset.get('goals', []), [])  # a goal that says nothing is refused before anything is measured
    return preset


def settings_of(args: Namespace, run: dict[str, Any]) -> Settings:
    """What a preset's run says, unless the command line says otherwise."""
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(set(run) - known - {'name'}):
        raise InputError(f'preset: {unknown} are no settings; choose of {sorted(known)}')
    given = {name: value for name in known if (value := getattr(args, name, None)) not in (None, [])}
    settings = Settings(**{**{key: run[key] for key in run if key != 'name'}, **given})
    if settings.scaling and 'sizes' not in {**run, **given}:
        settings.sizes = _SQUARES
    if settings.malloc not in MALLOCS:
        raise InputError(f'preset: malloc {settings.malloc!r} is unknown; choose one of {list(MALLOCS)}')
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
    comparison.require_named(settings, contestants)
    return contestants


def configure(settings: Settings) -> None:
    """Threads and malloc of this process."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    setting = MALLOCS[settings.malloc]
    if setting and not setting():
        raise InputError(f'--malloc {settings.malloc}: this C library has no mallopt; leave it out')


def measure_memory(request: str) -> int:
    """Peak bytes of one case, in this fresh process."""
    case = json.loads(request)
    settings = Settings(**case['settings'])
    configure(settings)
    contestant, size = Contestant(**case['contestant']), Size.parse(case['size'])
    if settings.device == 'cpu':
        timing.touch_libraries(PRECISIONS[contestant.precision], settings.training)
    step = comparison.prepare(contestant, size, settings, count=False).step
    if contestant.compiled:
        step()
    return timing.peak_memory(step, settings.device)


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
    command = [sys.executable, '-m', 'mmsparseswin.benchmark.runs', json.dumps(case)]
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
        entries, left_out = comparison.prepare_all(cases, settings, tell)
        part['left_out'].update(left_out)
        if settings.check:
            comparison.check(entries, settings)
            tell('\n'.join(f'{e} differs from {p} by {d:.1e}' for e in entries for p, d in e.checked.items()))
        memory: dict[str, dict[str, int]] = {}
        if settings.memory:
            for entry in entries:
                memory[str(entry)] = memory_of(entry.contestant, entry.size, settings)
                peaks = ' and '.join(f'{name} {size / 2**20:.0f} MiB' for name, size in memory[str(entry)].items())
                tell(f'{entry}: {peaks}')
        rates: dict[str, list[float]] = {}
        try:
            comparison.race(entries, settings, rates, tell)
            if settings.profile:
                for entry in entries:
                    entry.operators = operator_shares(entry.step, settings.device)
        finally:  # an interrupted race leaves its complete rounds
            if entries[0].times:
                part['records'] += comparison.records(entries, settings, rates, memory)
                part['rates'].append({name: timing.Spread.of(values)._asdict() for name, values in rates.items()})


def run_all(args: Namespace, preset: dict[str, Any]) -> dict[str, Any]:
    """Run everything that `preset` and the command line name; an interruption keeps what was measured."""
    plans = [settings_of(args, run) for run in preset['runs']]
    for plan in plans:
        contestants_of(plan)
    result: dict[str, Any] = dict(environment=report.environment(), runs=[], goals=[], interrupted=False)
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
                    part['growth'] |= comparison.growths(part['records']) if plan.scaling else {}
    except KeyboardInterrupt:
        result['interrupted'] = True
        tell('stopped: what was measured is kept')
    result['goals'] = report.judge(preset.get('goals', []), result['runs'])
    return result


if __name__ == '__main__':
    with contextlib.redirect_stdout(sys.stderr):
        peak = measure_memory(sys.argv[1])
    print(peak)
