"""Contestants of one comparison, from their names to records of time, rate, memory and ratios."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from mmsparseswin.analysis.flops import count_flops
from mmsparseswin.benchmark import baselines, timing
from mmsparseswin.benchmark.cases import Contestant, Part, Size, best_peer, build, image, letter
from mmsparseswin.benchmark.timing import PRECISIONS, Spread, Step, matrix_products
from mmsparseswin.errors import InputError

TRAINING_FACTOR = 3  # matrix products of forward and backward, in those of forward

Peaks = Mapping[str, Mapping[str, int]]  # bytes by measure ('peak_memory', 'peak_allocated') by entry's name


@dataclass
class Settings:
    """How a comparison is made; what the command line and a preset's run say.

    Attributes:
        models: names, see :mod:`mmsparseswin.benchmark.cases`.
        sizes: of the images; each size is a comparison of its own.
        precisions: in which every model runs that names none.
        output: 'pooled' or 'maps', for all backbones alike.
        part: end of a module's name; that module alone is measured, in all models.
        training: a step forward and backward instead of inference.
        compiled: with ``torch.compile``, models that do not say otherwise.
        peers: contestants to give ratios to, besides the best peer.
        check: compare with the peers on shared weights first.
        scaling: all sizes are one comparison, and the growth of time with area is fitted.
        memory: measure peak memory too.
        profile: tell where the time goes, too.
        device: 'cpu' or 'cuda'.
        threads: of PyTorch; 0 leaves its default.
        min_rounds: repetitions of every contestant, at least.
        seconds: of repetitions per contestant.
        malloc: 'default', 'keep': freed memory stays with the process, or 'map': none of it does.
    """

    models: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=lambda: ['8x224x224'])
    precisions: list[str] = field(default_factory=lambda: ['fp32'])
    output: str = 'pooled'
    part: str = ''
    training: bool = False
    compiled: bool = False
    peers: list[str] = field(default_factory=list)
    check: bool = False
    scaling: bool = False
    memory: bool = True
    profile: bool = False
    device: str = 'cpu'
    threads: int = 0
    min_rounds: int = 5
    seconds: float = 10.0
    malloc: str = 'default'


@dataclass
class Entry:
    """One contestant at one size, ready to run."""

    contestant: Contestant
    size: Size
    model: nn.Module
    called: Callable[..., Any]  # the model, compiled if the contestant is
    step: Step
    letter: str
    macs: int
    times: list[float] = field(default_factory=list)
    checked: dict[str, float] = field(default_factory=dict)
    operators: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f'{self.contestant} {self.size}'


def prepare(contestant: Contestant, size: Size, settings: Settings, count: bool = True) -> Entry:
    """Build a contestant, count its operations in fp32, and bring it into its precision.

    Raises:
        ImportError: a peer's library is not installed.
    """
    model, x = build(contestant.model, size, settings.output).eval(), image(size)
    if settings.part:
        model = Part(model, settings.part, x)
    macs = count_flops(model, x).total.macs if count else 0
    which = letter(contestant.model, model)
    precision = PRECISIONS[contestant.precision]
    model, x = model.to(settings.device, precision.weights), x.to(settings.device, precision.weights)
    called: Callable[..., Any] = torch.compile(model) if contestant.compiled else model
    step = timing.make_step(model, called, x, precision, settings.training)
    return Entry(contestant, size, model, called, step, which, macs)


def prepare_all(
    cases: list[tuple[Contestant, Size]], settings: Settings, tell: Callable[[str], None] = lambda _: None
) -> tuple[list[Entry], dict[str, str]]:
    """Build every case and run it once.

    Returns:
        The entries, and why cases of other libraries are left out: not installed, or unable to run in a precision.
    """
    entries, left_out = [], {}
    for contestant, size in cases:
        tell(f'building {contestant} {size}')
        try:
            entry = prepare(contestant, size, settings)
            entry.step()
        except (ImportError, RuntimeError) as error:
            if not contestant.is_peer:
                raise
            reason = f'{type(error).__name__}: {" ".join(str(error).split())}'[:300]
            left_out[f'{contestant} {size}'] = reason
            tell(f'left out: {contestant} {size}: {reason}')
        else:
            entries.append(entry)
    if not entries:
        raise InputError(f'nothing is left to time: {left_out}')
    return entries, left_out


def check(entries: list[Entry], settings: Settings) -> None:
    """Give each of our Swins the weights of each peer that is there, and compare the outputs.

    The reference is the peer in fp32. The modules compared are those that are timed afterwards.

    Raises:
        InputError: an output differs by more than `TOLERANCES`.
    """
    for ours in entries:
        if ours.contestant.is_peer or not ours.letter:
            continue
        rivals = (e for e in entries if e.contestant.is_peer and e.size == ours.size and e.letter == ours.letter)
        for name in sorted({e.contestant.model for e in rivals}):
            size = baselines.comparable_size(name, (ours.size.height, ours.size.width))
            reference = baselines.build_peer(name, size, settings.output)
            baselines.randomise(reference)
            assert isinstance(ours.model, baselines.Backbone)
            baselines.share_weights(reference, name.partition(':')[0], ours.model.model)
            worst = _difference(reference, ours, replace(ours.size, height=size[0], width=size[1]), settings.device)
            tolerance = baselines.TOLERANCES[PRECISIONS[ours.contestant.precision].products]
            baselines.require_equal(str(ours), name, worst, tolerance)
            ours.checked[name] = worst


def _difference(reference: nn.Module, ours: Entry, size: Size, device: str) -> float:
    precision = PRECISIONS[ours.contestant.precision]
    # A compiled model that had seen two sizes would be compiled again for any size.
    model = ours.called if size == ours.size else ours.model
    reference, x = reference.to(device).eval(), image(size).to(device)
    training = ours.model.training
    ours.model.eval()
    with torch.no_grad():
        expected = reference(x)
        with torch.autocast(device, precision.autocast or torch.bfloat16, enabled=precision.autocast is not None):
            outputs = model(x.to(precision.weights))
    ours.model.train(training)
    return baselines.worst_difference(outputs, expected)


def race(
    entries: list[Entry],
    settings: Settings,
    rates: dict[str, list[float]],
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Time all entries in turns, with the machine's matrix products among them.

    Args:
        entries: their ``times`` grow by one per complete round, also if the race is interrupted.
        settings: device and number of rounds.
        rates: takes GFLOP/s of large matrix products in each round, per type and kernel.
        tell: called with a line per round.
    """
    timer = timing.time_cuda if settings.device == 'cuda' else timing.time_cpu
    types = {PRECISIONS[e.contestant.precision].products for e in entries}
    products = {str(p): p for dtype in types for p in matrix_products(dtype, settings.device)}
    rates |= {name: [] for name in products}
    by_name = {str(entry): entry for entry in entries}
    steps = {name: entry.step for name, entry in by_name.items()} | {n: p.step for n, p in products.items()}
    for step in steps.values():
        timer(step)  # fills caches
    for times in timing.rounds(steps, timer, settings.min_rounds, settings.seconds):
        for name, entry in by_name.items():
            entry.times.append(times[name])
        for name, product in products.items():
            rates[name].append(product.flops / times[name] / 1e9)
        tell(f'round {len(entries[0].times)}: ' + ', '.join(f'{n} {times[n] * 1e3:.1f} ms' for n in by_name))


def machine_rate(rates: dict[str, list[float]], dtype: torch.dtype) -> float:
    """GFLOP/s of the machine in one type: of its fastest kernel."""
    prefix = f'{str(dtype).removeprefix("torch.")} '
    return max(Spread.of(values).median for name, values in rates.items() if name.startswith(prefix))


def records(
    entries: list[Entry], settings: Settings, rates: dict[str, list[float]], memory: Peaks
) -> list[dict[str, Any]]:
    """What was measured of each entry, as plain numbers.

    Args:
        entries: with their times.
        settings: of the race.
        rates: GFLOP/s of matrix products per type and kernel.
        memory: peaks of the entries.
    """
    return [_record(e, [o for o in entries if o.size == e.size], settings, rates, memory) for e in entries if e.times]


def _record(
    entry: Entry, rivals: list[Entry], settings: Settings, rates: dict[str, list[float]], memory: Peaks
) -> dict[str, Any]:
    c = entry.contestant
    spread = Spread.of(entry.times)
    flops = 2 * entry.macs * (TRAINING_FACTOR if settings.training else 1)
    rate = machine_rate(rates, PRECISIONS[c.precision].products)
    by_contestant = {e.contestant: e for e in rivals}
    medians = {e.contestant: Spread.of(e.times).median for e in rivals}
    best = best_peer(medians, {e.contestant: e.letter for e in rivals}, c)
    chosen = [peer for text in settings.peers for peer in named(text, list(by_contestant), c)]
    wanted = dict.fromkeys([*([best] if best else []), *chosen])
    return dict(
        name=str(c),
        model=c.model,
        precision=c.precision,
        compiled=c.compiled,
        peer=c.is_peer,
        size=str(entry.size),
        output=settings.output,
        training=settings.training,
        parameters=sum(p.numel() for p in entry.model.parameters()),
        gmac=entry.macs / 1e9,
        seconds=entry.times,
        rounds=len(entry.times),
        median=spread.median,
        q1=spread.q1,
        q3=spread.q3,
        images_per_second=entry.size.batch / spread.median,
        gflops=flops / spread.median / 1e9,
        matrix_gflops=rate,
        floor_share=flops / spread.median / 1e9 / rate,
        **memory.get(str(entry), dict(peak_memory=None, peak_allocated=None)),
        operators=entry.operators,
        best_peer=str(best) if best else None,
        speedups={str(p): timing.speedup(entry.times, by_contestant[p].times)._asdict() for p in wanted if p != c},
        checked=entry.checked,
    )


def named(text: str, rivals: list[Contestant], ours: Contestant) -> list[Contestant]:
    """The rivals a peer's name means: of that full name, else of that model in the precision and mode of `ours`."""
    exact = [c for c in rivals if str(c) == text]
    same = [c for c in rivals if c.model == text and (c.precision, c.compiled) == (ours.precision, ours.compiled)]
    return exact or same


def require_named(settings: Settings, contestants: list[Contestant]) -> None:
    """Every peer named must run.

    Raises:
        InputError: one does not.
    """
    for text in settings.peers:
        if not any(text in (str(c), c.model) for c in contestants):
            raise InputError(f'--peer {text} does not run; choose one of {[str(c) for c in contestants]}')


def growths(measured: list[dict[str, Any]]) -> dict[str, float]:
    """Exponent of time in image area by contestant, from records of at least two sizes."""
    by_name: dict[str, list[tuple[int, float]]] = {}
    for record in measured:
        by_name.setdefault(record['name'], []).append((Size.parse(record['size']).area, record['median']))
    return {name: timing.growth(*zip(*points, strict=True)) for name, points in by_name.items() if len(points) > 1}
