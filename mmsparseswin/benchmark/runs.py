"""Run the comparisons that the options and presets of benchmark.py name, and collect one result."""

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
from mmsparseswin.benchmark.cases import Case, parse_cases
from mmsparseswin.benchmark.comparison import Settings
from mmsparseswin.benchmark.operator_profile import operator_shares
from mmsparseswin.benchmark.sizes import Size
from mmsparseswin.benchmark.timing import PRECISIONS
from mmsparseswin.errors import InputError
from mmsparseswin.malloc import keep_freed_memory, map_large_blocks

_SQUARES = [f'1x{side}x{side}' for side in (224, 448, 896, 1792)]
MALLOCS = dict(default=None, keep=keep_freed_memory, map=map_large_blocks)


def read_preset(path: Path) -> dict[str, Any]:
    """Read the runs and goals of a preset."""
    preset = load(path)
    sizes = {run.get('name'): run.get('sizes', []) for run in preset['runs']}
    for goal in preset.get('goals', []):
        if 'size' not in goal and len(sizes.get(goal['run'], [])) > 1:
            raise InputError(f'goal {goal["work"]!r}: name the size it is for, one of {sizes[goal["run"]]}')
    report.judge(preset.get('goals', []), [])  # refuses an incomplete goal before anything is measured
    return preset


def settings_of(args: Namespace, run: dict[str, Any]) -> Settings:
    """Merge a run of a preset with the command line, which takes precedence."""
    known = {f.name for f in fields(Settings)}
    if unknown := sorted(set(run) - known - {'name'}):
        raise InputError(f'preset: unknown settings {unknown}; choose from {sorted(known)}')
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


def cases_of(settings: Settings) -> list[Case]:
    """Return a case for each model in each of its precisions."""
    if not settings.models:
        raise InputError('name at least one model, e.g. swin-tiny, or a --preset')
    found = [c for text in settings.models for c in parse_cases(text, settings.precisions, settings.compiled)]
    cases = list(dict.fromkeys(found))
    comparison.require_named(settings, cases)
    return cases


def configure(settings: Settings) -> None:
    """Set the threads and the malloc of this process."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    setting = MALLOCS[settings.malloc]
    if setting and not setting():
        raise InputError(f'--malloc {settings.malloc}: this C library has no mallopt; leave it out')


def measure_memory(request: str) -> int:
    """Return the peak bytes of one case, in this fresh process."""
    given = json.loads(request)
    settings = Settings(**given['settings'])
    configure(settings)
    case, size = Case(**given['case']), Size.parse(given['size'])
    if settings.device == 'cpu':
        timing.touch_libraries(PRECISIONS[case.precision], settings.training)
    step = comparison.prepare(case, size, settings, count=False).step
    if case.mode != 'eager':
        step()
    return timing.peak_memory(step, settings.device)


def memory_of(case: Case, size: Size, settings: Settings) -> dict[str, int]:
    """Measure the resident and the allocated bytes of one case at their peaks; on a GPU both are one number."""
    resident = memory_in_child(case, size, settings)
    allocated = resident
    if settings.device == 'cpu':
        allocated = memory_in_child(case, size, replace(settings, malloc='map'))
    return dict(peak_memory=resident, peak_allocated=allocated)


def memory_in_child(case: Case, size: Size, settings: Settings) -> int:
    """Measure the peak bytes of one case in a process of its own."""
    request = dict(case=asdict(case), size=str(size), settings=asdict(settings))
    command = [sys.executable, '-m', 'mmsparseswin.benchmark.runs', json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f'memory of {case} at {size}:\n{done.stderr}')
    return int(done.stdout.split()[-1])


def log(line: str) -> None:
    """Print a line of progress to stderr; stdout holds the results."""
    print(line, file=sys.stderr, flush=True)


def run(settings: Settings, part: dict[str, Any]) -> None:
    """Run all comparisons of `settings` and add their results to `part`."""
    cases = cases_of(settings)
    sizes = [Size.parse(text) for text in settings.sizes]
    for group in [sizes] if settings.scaling else [[size] for size in sizes]:
        pairs = [(case, size) for case in cases for size in group]
        entries, left_out = comparison.prepare_all(pairs, settings, log)
        part['left_out'].update(left_out)
        if settings.check:
            comparison.check(entries, settings)
            log('\n'.join(f'{e} differs from {p} by {d:.1e}' for e in entries for p, d in e.checked.items()))
        memory: dict[str, dict[str, int]] = {}
        if settings.memory:
            for entry in entries:
                memory[str(entry)] = memory_of(entry.case, entry.size, settings)
                peaks = ' and '.join(f'{name} {size / 2**20:.0f} MiB' for name, size in memory[str(entry)].items())
                log(f'{entry}: {peaks}')
        rates: dict[str, list[float]] = {}
        try:
            comparison.time_interleaved(entries, settings, rates, log)
            if settings.profile:
                for entry in entries:
                    entry.operators = operator_shares(entry.step, settings.device)
        finally:  # an interruption keeps the complete rounds
            if entries[0].times:
                part['records'] += comparison.records(entries, settings, rates, memory)
                part['rates'].append({name: timing.Spread.of(values)._asdict() for name, values in rates.items()})


def run_all(args: Namespace, preset: dict[str, Any]) -> dict[str, Any]:
    """Run all runs of `preset` with the options of the command line; an interruption keeps the complete rounds."""
    plans = [settings_of(args, run) for run in preset['runs']]
    for plan in plans:
        cases_of(plan)
    result: dict[str, Any] = dict(environment=report.environment(), runs=[], goals=[], interrupted=False)
    try:
        for plan, given in zip(plans, preset['runs'], strict=True):
            name = given.get('name', 'run')
            part: dict[str, Any] = dict(name=name, settings=asdict(plan), records=[], rates=[], left_out={}, growth={})
            result['runs'].append(part)
            with contextlib.redirect_stdout(sys.stderr):  # imports may print to stdout, which holds the report
                configure(plan)
                part['threads'] = torch.get_num_threads()
                try:
                    run(plan, part)
                finally:
                    part['growth'] |= comparison.growths(part['records']) if plan.scaling else {}
    except KeyboardInterrupt:
        result['interrupted'] = True
        log('stopped: what was measured is kept')
    result['goals'] = report.judge(preset.get('goals', []), result['runs'])
    return result


if __name__ == '__main__':
    with contextlib.redirect_stdout(sys.stderr):
        peak = measure_memory(sys.argv[1])
    print(peak)
