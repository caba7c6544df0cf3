"""Write what a sweep found: a table, JSON, a picture of the front, and the command line of each point of the front."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmsparseswin.benchmark.report import environment, table
from mmsparseswin.benchmark.sweep.knobs import Point, as_words, options_of
from mmsparseswin.benchmark.sweep.search import front


def describe(point: Point) -> str:
    """Return a short name of a point."""
    return ', '.join(f'{knob} {_short(value)}' for knob, value in point.items()) or 'as it is'


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f'({",".join(_short(one) for one in value)})'
    return f'{value:g}' if isinstance(value, float) else str(value)


def command_line(cfg: Config, config: str, checkpoint: str, point: Point, given: dict[str, Any]) -> str:
    """Return the test of a point as a line for a shell."""
    words = as_words({**given, **options_of(cfg, point)})
    line = shlex.join(['python', 'tools/test.py', config, checkpoint, *(['--cfg-options', *words] if words else [])])
    return f'OMP_NUM_THREADS={point["threads"]} {line}' if 'threads' in point else line


def name_front(records: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return (letter, record) of each point of the front, the fastest is A."""
    return [(_letters(i), record) for i, record in enumerate(front(records))]


def _letters(number: int) -> str:
    return chr(65 + number) if number < 26 else _letters(number // 26 - 1) + chr(65 + number % 26)


def as_markdown(records: Sequence[dict[str, Any]], lines: dict[str, str], facts: dict[str, Any]) -> str:
    """Format the points by time, the front with its letters, and the command lines of the front."""
    names = {id(record): letter for letter, record in name_front(records)}
    metric = next(record['metric'] for record in records if 'metric' in record)
    rows = [['front', 'point', metric, 'ms per image', 'speed-up', 'MiB']]
    for record in sorted((r for r in records if 'error' not in r), key=lambda r: r['milliseconds']):
        spread = record.get('quartiles')
        between = f' ({spread[0]:.2f}-{spread[1]:.2f})' if spread else ''
        rows.append(
            [
                names.get(id(record), ''),
                describe(record['point']),
                f'{record["accuracy"]:.4g}',
                f'{record["milliseconds"]:.1f}',
                f'{record["speedup"]:.2f}{between}',
                f'{record["memory"] / 2**20:.0f}',
            ]
        )
    text = [
        f'{facts["gpu"] or facts["cpu"]} ({facts["capability"]}), {facts["cores"]} cores, load {facts["load"]:.1f}; '
        f'commit {facts["commit"]}, {facts["date"]}',
        '',
        f'    {facts["command"]}',
        '',
        'Time is of one image: loaded, predicted, post-processed; in turns with the config as it is. The speed-up has '
        'the quartiles of single rounds, the memory is the peak above what the loaded model holds.',
        '',
        *table(rows),
        *(f'- left out: {describe(r["point"])}: {r["error"]}' for r in records if 'error' in r),
        '',
        *(f'{letter}: {describe(record["point"])}\n\n    {lines[letter]}\n' for letter, record in name_front(records)),
    ]
    return '\n'.join(text).rstrip() + '\n'


def write(out: Path, records: Sequence[dict[str, Any]], lines: dict[str, str]) -> str:
    """Write JSON, table and picture into ``out``; return the text of the table."""
    facts = environment()
    letters = dict(name_front(records))
    best = {letter: dict(record, command=lines[letter]) for letter, record in letters.items()}
    (out / 'sweep.json').write_text(
        json.dumps(dict(environment=facts, front=best, points=list(records)), indent=1) + '\n'
    )
    text = as_markdown(records, lines, facts)
    (out / 'sweep.md').write_text(text)
    draw(records, out / 'front.png')
    return text


def draw(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw accuracy over time, the front as a line with its points named."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    good = [record for record in records if 'error' not in record]
    named = name_front(good)
    figure = Figure(figsize=(9, 5.2 + 0.16 * len(named)), layout='constrained')
    axes = figure.subplots()
    axes.scatter(
        [r['milliseconds'] for r in good], [r['accuracy'] for r in good], s=18, color='#9aa5b1', label='measured'
    )
    plain = [r for r in good if not r['point']]
    axes.scatter([r['milliseconds'] for r in plain], [r['accuracy'] for r in plain], s=60, marker='s', color='#d62728')
    axes.plot(
        [r['milliseconds'] for _, r in named],
        [r['accuracy'] for _, r in named],
        'o-',
        color='#1f77b4',
        drawstyle='steps-post',
    )
    for letter, record in named:
        axes.annotate(letter, (record['milliseconds'], record['accuracy']), (4, 5), textcoords='offset points')
    axes.set_xlabel('milliseconds per image; red: the config as it is')
    axes.set_ylabel(good[0]['metric'])
    axes.spines[['top', 'right']].set_visible(False)
    legend = '\n'.join(f'{letter}  {describe(record["point"])}' for letter, record in named)
    figure.text(0.01, -0.01, legend, va='top', fontsize=8, family='monospace')
    figure.savefig(path, dpi=130, bbox_inches='tight')
