"""Write the result of a benchmark: environment, goals, tables and a picture."""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from mmsparseswin.errors import InputError
from mmsparseswin.layers.processor import processor

_PACKAGES = ('torch', 'torchvision', 'timm', 'onedl-mmengine', 'onedl-mmdetection', 'onedl-mmpretrain', 'numpy')
_MALLOC = ('MALLOC_', 'GLIBC_TUNABLES', 'LD_PRELOAD', 'OMP_', 'KMP_', 'GOMP_', 'MKL_', 'DNNL_', 'ONEDNN_', 'TORCH')

_PRODUCTS = 10  # rows per model
_Panel = tuple[dict[str, Any], str, list[dict[str, Any]]]  # run, size, its records
_MEMORY = dict(memory='peak_memory', allocated='peak_allocated')


def _command() -> list[str]:
    """Return the command line of this process: a file that Python runs, or `mmsparseswin NAME`."""
    program, *arguments = sys.argv
    called = program.split() if program.startswith('mmsparseswin ') else [Path(sys.executable).name, program]
    return [*called, *arguments]


def environment() -> dict[str, Any]:
    """Return machine, versions, commit, command and variables on which the times depend."""
    return dict(
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        command=shlex.join(_command()),
        commit=_commit(),
        cpu=processor().report.name,
        capability=processor().report.capability,
        processor=str(processor()),
        cores=os.cpu_count(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        system=platform.platform(),
        python=platform.python_version(),
        packages={name: version for name in _PACKAGES if (version := _version(name))},
        variables={name: value for name, value in sorted(os.environ.items()) if name.startswith(_MALLOC)},
        load=os.getloadavg()[0],
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of this source, with '+' if files differ from it."""

    def git(*args: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(['git', *args], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git('rev-parse', '--short', 'HEAD') + ('+' if git('status', '--porcelain', '--', '.') else '')
    except (OSError, subprocess.CalledProcessError):
        return None


def judge(goals: Iterable[dict[str, Any]], runs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add the measured value to each goal.

    Args:
        goals: with 'work' (words), 'run' and 'model' (names), 'measure' ('speedup', 'memory', 'allocated',
            'share_of_peak' or 'growth'), 'baseline' ('best' or a name) for a ratio, and 'at_least' or 'at_most'.
        runs: measured.

    Returns:
        The goals with 'value', 'against' (the baseline that was found) and 'reached'; None where it was not measured.
    """
    return [{**goal, **_judge(goal, runs)} for goal in goals]


def _judge(goal: dict[str, Any], runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if ('at_least' in goal) == ('at_most' in goal):
        raise InputError(f'goal {goal.get("work")!r}: give either at_least or at_most')
    run = next((run for run in runs if run['name'] == goal['run']), None)
    value, against = _value(goal, run) if run else (None, None)
    reached = None
    if value is not None:
        reached = value >= goal['at_least'] if 'at_least' in goal else value <= goal['at_most']
    return dict(value=value, against=against, reached=reached)


def _value(goal: dict[str, Any], run: dict[str, Any]) -> tuple[float | None, str | None]:
    if goal['measure'] == 'growth':
        return run.get('growth', {}).get(goal['model']), None
    records = {record['name']: record for record in run['records'] if goal.get('size') in (None, record['size'])}
    ours = records.get(goal['model'])
    if ours is None:
        return None, None
    if goal['measure'] == 'share_of_peak':
        return ours['share_of_peak'], None
    baseline = ours['best_baseline'] if goal['baseline'] == 'best' else goal['baseline']
    if baseline not in records:
        return None, baseline
    if goal['measure'] == 'speedup':
        return records[baseline]['median'] / ours['median'], baseline
    if goal['measure'] in _MEMORY:
        pair = [record[_MEMORY[goal['measure']]] for record in (ours, records[baseline])]
        return (pair[0] / pair[1] if None not in pair else None), baseline
    measures = ['speedup', *_MEMORY, 'share_of_peak', 'growth']
    raise InputError(f'goal {goal["work"]!r}: measure {goal["measure"]!r} is unknown; choose one of {measures}')


def as_markdown(result: dict[str, Any]) -> str:
    """Format the whole result as Markdown tables."""
    env = result['environment']
    versions = ', '.join(f'{name} {version}' for name, version in env['packages'].items())
    lines = [
        f'{env["gpu"] or env["cpu"]} ({env["capability"]}), {env["cores"]} cores, {versions}; '
        f'commit {env["commit"]}, {env["date"]}',
        '',
        f'    {env["command"]}',
        '',
    ]
    if result['interrupted']:
        lines += ['**Interrupted: incomplete.**', '']
    if result['goals']:
        lines += ['## Goals', '', *_goals(result['goals']), '']
    for run in result['runs']:
        if run['records'] or run['left_out']:
            lines += [f'## {run["name"]}', '', *_run(run), '']
    return '\n'.join(lines).rstrip() + '\n'


def _goals(goals: Sequence[dict[str, Any]]) -> list[str]:
    rows = [['work', 'measure', 'baseline', 'goal', 'measured', 'reached']]
    for goal in goals:
        sign, limit = ('>=', goal['at_least']) if 'at_least' in goal else ('<=', goal['at_most'])
        value = '-' if goal['value'] is None else f'{goal["value"]:.3f}'
        reached = {True: 'yes', False: 'no', None: '-'}[goal['reached']]
        rows.append([goal['work'], goal['measure'], goal['against'] or '-', f'{sign} {limit}', value, reached])
    return table(rows)


def _run(run: dict[str, Any]) -> list[str]:
    settings, lines = run['settings'], []
    kind = 'training steps (forward and backward, no optimizer)' if settings['training'] else 'inference'
    lines.append(
        f'{kind}, {_part(settings)}{settings["output"]} outputs, {settings["device"]}, {run["threads"]} threads, '
        f'malloc {settings["malloc"]}; median (quartiles) of one interleaved run'
    )
    for size in dict.fromkeys(record['size'] for record in run['records']):
        records = sorted((r for r in run['records'] if r['size'] == size), key=lambda r: r['median'])
        baselines = list(dict.fromkeys(baseline for record in records for baseline in record['speedups']))
        header = ['model', 'ms', 'images/s', 'GFLOP/s', 'share of peak', 'peak MiB', 'allocated MiB', 'rounds']
        rows = [[*header, *(f'vs {baseline}' for baseline in baselines)]]
        for r in records:
            ms = f'{r["median"] * 1e3:.1f} ({r["q1"] * 1e3:.1f}-{r["q3"] * 1e3:.1f})'
            memory = ['-' if r[key] is None else f'{r[key] / 2**20:.0f}' for key in _MEMORY.values()]
            rate_and_share = ['-', '-'] if r['gflops'] is None else [f'{r["gflops"]:.0f}', f'{r["share_of_peak"]:.2f}']
            numbers = [f'{r["images_per_second"]:.2f}', *rate_and_share, *memory]
            ratios = [_ratio(r['speedups'].get(baseline)) for baseline in baselines]
            rows.append([r['name'], ms, *numbers, str(r['rounds']), *ratios])
        lines += ['', f'### {size}', '', *table(rows)]
        lines += [f'- {r["name"]} equals {p} within {d:.1e}' for r in records for p, d in r['checked'].items()]
        lines += _operators({r['name']: r['operators'] for r in records if r['operators']})
    for name, rate in [pair for rates in run['rates'] for pair in rates.items()]:
        spread = f'{rate["median"]:.0f} ({rate["q1"]:.0f}-{rate["q3"]:.0f})'
        lines.append(f'- machine: {spread} GFLOP/s, {name} x {name.split()[-1]} matrix product')
    lines += [f'- left out: {name}: {why}' for name, why in run['left_out'].items()]
    lines += [f'- growth of time with image area, {name}: exponent {e:.3f}' for name, e in run['growth'].items()]
    return lines


def _part(settings: dict[str, Any]) -> str:
    return f'{settings["part"]} alone, ' if settings['part'] else ''


def _operators(profiles: dict[str, dict[str, Any]]) -> list[str]:
    """Format shares of time by kind of operator, and GFLOP/s of the largest products by shape."""
    if not profiles:
        return []
    kinds = list(dict.fromkeys(kind for found in profiles.values() for kind in found['kinds']))
    rows = [['model', *kinds]]
    rows += [[name, *(f'{found["kinds"].get(kind, 0):.0%}' for kind in kinds)] for name, found in profiles.items()]
    products = [['model', 'product (rows x in -> out)', 'of the time', 'GFLOP/s']]
    for name, found in profiles.items():
        for product in found['products'][:_PRODUCTS]:
            rows_in_out = '{} x {} -> {}'.format(*product['shape'])
            products.append([name, rows_in_out, f'{product["share"]:.1%}', f'{product["gflops"]:.0f}'])
    return ['', *table(rows), '', *table(products)]


def _ratio(spread: dict[str, float] | None) -> str:
    return f'{spread["median"]:.2f} ({spread["q1"]:.2f}-{spread["q3"]:.2f})' if spread else '-'


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a padded Markdown table; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + ' |' for row in rows
    ]
    return [lines[0], '|' + '|'.join('-' * (width + 2) for width in widths) + '|', *lines[1:], '']


def write(result: dict[str, Any], path: Path) -> list[Path]:
    """Write ``path`` (JSON), and a table (.md) and a picture (.png) beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + '\n')
    text = path.with_suffix('.md')
    picture = path.with_suffix('.png')
    text.write_text(f'# {path.stem}\n\n' + as_markdown(result))
    if not (panels := _panels(result)):
        return [path, text]
    draw(panels, picture)
    return [path, text, picture]


def _panels(result: dict[str, Any]) -> list[_Panel]:
    """Return what there is to compare; one bar alone says no more than its row of the table."""
    panels = [
        (run, size, [r for r in run['records'] if r['size'] == size])
        for run in result['runs']
        for size in dict.fromkeys(r['size'] for r in run['records'])
    ]
    return [panel for panel in panels if len(panel[2]) > 1]


def draw(panels: list[_Panel], path: Path) -> None:
    """Draw one panel of bars per run and size: milliseconds, and the speed relative to the best baseline."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    heights = [len(records) + 1.6 for *_, records in panels]
    figure = Figure(figsize=(9, 0.34 * sum(heights) + 0.4), layout='constrained')
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, (run, size, records) in zip(axes, panels, strict=True):
        records = sorted(records, key=lambda r: -r['median'])
        ms = [r['median'] * 1e3 for r in records]
        spread = [[(r['median'] - r['q1']) * 1e3 for r in records], [(r['q3'] - r['median']) * 1e3 for r in records]]
        colours = ['#9aa5b1' if r['baseline'] else '#1f77b4' for r in records]
        ax.barh([r['name'] for r in records], ms, xerr=spread, color=colours, height=0.7, error_kw=dict(lw=0.8))
        for i, record in enumerate(records):
            text = f' {record["median"] * 1e3:.0f} ms'
            if (best := record['best_baseline']) in record['speedups'] and not record['baseline']:
                text += f', {record["speedups"][best]["median"]:.2f} x {best}'
            ax.text((record['q3']) * 1e3, i, text, va='center', fontsize=8)
        kind = 'training step' if run['settings']['training'] else 'inference'
        ax.set_title(f'{run["name"]}: {kind}, {_part(run["settings"])}{size}', fontsize=9, loc='left')
        ax.set_xlim(0, max(ms) * 1.5)
        ax.tick_params(labelsize=8)
        ax.spines[['top', 'right']].set_visible(False)
    axes[-1].set_xlabel('milliseconds (median and quartiles); blue: ours, grey: other libraries', fontsize=8)
    figure.savefig(path, dpi=130)
