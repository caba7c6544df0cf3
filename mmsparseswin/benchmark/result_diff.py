"""Compare two results of the benchmark that come from the same kind of processor."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmsparseswin.benchmark.report import table
from mmsparseswin.errors import InputError

_SAME = ('capability', 'cpu', 'cores', 'gpu')  # a ratio of times depends on these


def read_result(path: Path) -> dict[str, Any]:
    """Read a result that `benchmark.py --out` wrote.

    Raises:
        InputError: the file is no such result.
    """
    try:
        result = json.loads(path.read_text())
        return dict(environment=result['environment'], runs=result['runs'])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f'--compare {path}: not a result of this benchmark ({error})') from None


def compare(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return a Markdown table of the ratios to the baselines in two results.

    On a shared machine milliseconds vary from run to run; ratios to a baseline of the same run vary less.

    Args:
        before: a result as `benchmark.py --out` writes it.
        after: another.

    Raises:
        InputError: they come from processors of different kinds, or have no ratio in common.
    """
    for name in _SAME:
        pair = [result['environment'].get(name) for result in (before, after)]
        if pair[0] != pair[1]:
            raise InputError(
                f'these results cannot be compared: {name} is {pair[0]} in one and {pair[1]} in the other; '
                'run the benchmark again on the same kind of processor'
            )
    first, second = dict(_ratios(before)), dict(_ratios(after))
    rows = [['run', 'size', 'model', 'against', 'before', 'after', 'change']]
    for key in [key for key in first if key in second]:
        old, new = first[key], second[key]
        rows.append([*key, f'{old:.2f}', f'{new:.2f}', f'{new / old - 1:+.1%}'])
    if len(rows) == 1:
        raise InputError(
            'these results have no ratio to a baseline in common; name the same models and baselines in both'
        )
    return '\n'.join(table(rows))


def _ratios(result: dict[str, Any]) -> Iterator[tuple[tuple[str, str, str, str], float]]:
    for run in result['runs']:
        for record in run['records']:
            for baseline, spread in record['speedups'].items():
                yield (run['name'], record['size'], record['name'], baseline), spread['median']
