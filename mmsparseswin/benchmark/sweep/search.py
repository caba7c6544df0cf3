"""Choose the points of a sweep, all of a grid, at random or by evolution of the front, and keep what was found."""

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

from mmsparseswin.benchmark.sweep.knobs import Point, points_of
from mmsparseswin.errors import InputError
from mmsparseswin.record_lines import RecordLines

METHODS = ('evolution', 'random')
_FIRST = 6  # points at random before evolution has a front to start from
_TRIES = 200


def front(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records that no other one beats in time and accuracy at once, the fastest first."""
    best: list[dict[str, Any]] = []
    for record in sorted((r for r in records if 'error' not in r), key=lambda r: (r['milliseconds'], -r['accuracy'])):
        if not best or record['accuracy'] > best[-1]['accuracy']:
            best.append(record)
    return best


class Records(RecordLines):
    """File of measured points, see :class:`RecordLines`.

    Raises:
        InputError: the file is there and ``resume`` is False, or it is of another run.
    """

    def __init__(self, path: Path, run: dict[str, Any], resume: bool) -> None:
        if path.is_file() and not resume:
            raise InputError(f'{path} is there: go on with --resume, or choose another --out-dir')
        super().__init__(path, run, resume, 'sweep')

    def add(self, record: dict[str, Any]) -> None:
        """Append a record, with lists in place of tuples as in the file."""
        super().add(json.loads(json.dumps(record)))

    def has(self, point: Point) -> bool:
        """Return True if the point was measured, or could not be."""
        return key(point) in {key(record['point']) for record in self.records}

    @property
    def seconds(self) -> float:
        """Return the seconds that all points took."""
        return sum(record['seconds'] for record in self.records)


def key(point: Point) -> str:
    """Return the same text for equal points."""
    return json.dumps(point, sort_keys=True)


def run_grid(records: Records, grid: dict[str, list[Any]], measure: Callable[[Point], dict[str, Any]]) -> Iterator[int]:
    """Measure the config as it is and every combination of a grid; yield the number of points left, after each."""
    todo = [point for point in [{}, *points_of(grid)] if not records.has(point)]
    yield len(todo)
    for left, point in zip(range(len(todo) - 1, -1, -1), todo, strict=True):
        _record(records, point, measure)
        yield left


def run_search(
    records: Records,
    space: dict[str, list[Any]],
    measure: Callable[[Point], dict[str, Any]],
    seconds: float,
    method: str,
    seed: int = 0,
) -> Iterator[float]:
    """Measure points until the time is used; yield the seconds left, after each.

    A point is begun only if the mean time of the points so far is left. Points of a stopped run count with their time.

    Args:
        records: found so far.
        space: knob -> values.
        measure: of one point.
        seconds: budget.
        method: 'random', or 'evolution': after some points at random, a point of the front crossed with another one and
            changed in one or two knobs.
        seed: of the choice.
    """
    while True:
        left = seconds - records.seconds
        yield max(left, 0.0)
        mean = records.seconds / len(records.records) if records.records else 0.0
        if left < mean or left <= 0:
            return
        # The number of records makes a resumed search go on, not begin again.
        chance = random.Random(f'{seed} {len(records.records)}')
        point = {} if not records.records else _next(records, space, method, chance)
        if point is None:
            return
        _record(records, point, measure)


def _record(records: Records, point: Point, measure: Callable[[Point], dict[str, Any]]) -> None:
    start = time.perf_counter()
    try:
        found = measure(point)
    except (InputError, RuntimeError, ValueError, TypeError, AssertionError, KeyError) as error:
        if not records.records:
            raise  # the config as it is: nothing to compare with
        found = dict(error=f'{type(error).__name__}: {" ".join(str(error).split())[:300]}')
    records.add(dict(point=point) | found | dict(seconds=time.perf_counter() - start))


def _next(records: Records, space: dict[str, list[Any]], method: str, chance: random.Random) -> Point | None:
    """Return a point that was not measured, or None if there is none (or none is found in many tries)."""
    if len(records.records) > prod(map(len, space.values())) + 1:
        return None
    best = [record['point'] for record in front(records.records)]
    for attempt in range(_TRIES):
        if method == 'random' or len(records.records) < _FIRST or attempt > _TRIES // 2:
            point = {knob: chance.choice(values) for knob, values in space.items()}
        else:
            mother, father = chance.choice(best), chance.choice(best)
            point = {knob: chance.choice([mother, father]).get(knob, values[0]) for knob, values in space.items()}
            for knob in chance.sample(list(space), min(len(space), chance.choice([1, 2]))):
                point[knob] = chance.choice(space[knob])
        if not records.has(point):
            return point
    return None
