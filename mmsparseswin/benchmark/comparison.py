"""Build, check and time the cases of one comparison; return records of time, rate, memory and ratios."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from mmsparseswin.analysis.flops import count_flops
from mmsparseswin.benchmark import baselines, engines, timing
from mmsparseswin.benchmark.cases import Case, Part, best_baseline, build, image, variant
from mmsparseswin.benchmark.sizes import Size
from mmsparseswin.benchmark.timing import PRECISIONS, Spread, Step, matrix_products
from mmsparseswin.errors import InputError

TRAINING_FACTOR = 3  # forward and backward do three times the matrix products of forward

Peaks = Mapping[str, Mapping[str, int]]  # bytes by measure ('peak_memory', 'peak_allocated') by entry's name


@dataclass
class Settings:
    """Options of a comparison, from the command line and from a run of a preset.

    Attributes:
        models: names, see :mod:`mmsparseswin.benchmark.cases`.
        sizes: BxHxW of the images; each size is a comparison of its own.
        precisions: for every model whose name has no precision.
        output: 'pooled' or 'maps', for all backbones alike; 'whole' for detectors.
        part: end of a module's name; only that module is measured, in all models.
        training: time forward and backward instead of inference.
        compiled: use ``torch.compile`` for every model without a suffix that says what runs it.
        baselines: cases to give ratios to, besides the best baseline.
        check: compare outputs with the baselines on shared weights first.
        scaling: time all sizes in one comparison and fit the growth of time with area.
        memory: measure peak memory too.
        profile: record the time per kind of operator too.
        device: 'cpu' or 'cuda'.
        threads: number of threads; 0 keeps PyTorch's default.
        min_rounds: least repetitions of every case.
        seconds: time to repeat for, per case.
        malloc: 'default', 'keep' (the process keeps freed memory) or 'map' (it returns all).
    """

    models: list[str] = field(default_factory=list)
    sizes: list[str] = field(default_factory=lambda: ['8x224x224'])
    precisions: list[str] = field(default_factory=lambda: ['fp32'])
    output: str = 'pooled'
    part: str = ''
    training: bool = False
    compiled: bool = False
    baselines: list[str] = field(default_factory=list)
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
    """A case at one size, ready to run."""

    case: Case
    size: Size
    model: nn.Module
    called: Callable[..., Any]  # the model as the mode of the case runs it
    step: Step
    variant: str
    macs: int
    times: list[float] = field(default_factory=list)
    checked: dict[str, float] = field(default_factory=dict)
    operators: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f'{self.case} {self.size}'


def prepare(case: Case, size: Size, settings: Settings, count: bool = True) -> Entry:
    """Build a case, count its operations in fp32, and bring it into its precision.

    Raises:
        ImportError: a baseline's library or a runtime is not installed.
        RuntimeError: a runtime cannot run the model.
    """
    engines.require_supported(case.mode, settings.training, settings.output, settings.device)
    model, x = build(case.model, size, settings.output).eval(), image(size)
    if settings.part:
        model = Part(model, settings.part, x)
    macs = count_flops(model, x).total.macs if count else 0
    which = variant(case.model, model)
    precision = PRECISIONS[case.precision]
    if case.mode in engines.FOREIGN:  # takes float32 and computes in the type that it is told
        called = engines.callable_of(model, case.mode, x, precision.products)
        precision = PRECISIONS['fp32']
    else:
        model, x = model.to(settings.device, precision.weights), x.to(settings.device, precision.weights)
        called = engines.callable_of(model, case.mode, x, precision.products)
    step = timing.make_step(model, called, x, precision, settings.training)
    return Entry(case, size, model, called, step, which, macs)


def prepare_all(
    pairs: list[tuple[Case, Size]], settings: Settings, log: Callable[[str], None] = lambda _: None
) -> tuple[list[Entry], dict[str, str]]:
    """Build every case at its size and run it once.

    Returns:
        The entries, and the reason for each case left out: not installed, or unable to run in a precision.
    """
    entries, left_out = [], {}
    for case, size in pairs:
        log(f'building {case} {size}')
        try:
            entry = prepare(case, size, settings)
            entry.step()
        except (ImportError, RuntimeError) as error:
            if not case.is_baseline and case.mode not in engines.INFERENCE_ONLY:
                raise
            reason = f'{type(error).__name__}: {" ".join(str(error).split())}'[:300]
            left_out[f'{case} {size}'] = reason
            log(f'left out: {case} {size}: {reason}')
        else:
            entries.append(entry)
    if not entries:
        raise InputError(f'nothing is left to time: {left_out}')
    return entries, left_out


def check(entries: list[Entry], settings: Settings) -> None:
    """Load the weights of each baseline into each of our Swins and compare the outputs.

    The reference is the baseline in fp32. The compared modules are timed afterwards.

    Raises:
        InputError: an output differs by more than `TOLERANCES`.
    """
    for ours in entries:
        if ours.case.is_of_library or ours.case.mode in engines.INFERENCE_ONLY or not ours.variant:
            continue
        others = (e for e in entries if e.case.is_of_library and e.size == ours.size and e.variant == ours.variant)
        for name in sorted({e.case.model for e in others}):
            size = baselines.comparable_size(name, (ours.size.height, ours.size.width))
            reference = baselines.build_baseline(name, size, settings.output)
            baselines.randomise(reference)
            assert isinstance(ours.model, baselines.Backbone)
            baselines.share_weights(reference, name.partition(':')[0], ours.model.model)
            worst = _difference(reference, ours, replace(ours.size, height=size[0], width=size[1]), settings.device)
            tolerance = baselines.TOLERANCES[PRECISIONS[ours.case.precision].products]
            baselines.require_equal(str(ours), name, worst, tolerance)
            ours.checked[name] = worst


def _difference(reference: nn.Module, ours: Entry, size: Size, device: str) -> float:
    precision = PRECISIONS[ours.case.precision]
    # A second input size would make torch.compile recompile for dynamic sizes.
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


def time_interleaved(
    entries: list[Entry],
    settings: Settings,
    rates: dict[str, list[float]],
    log: Callable[[str], None] = lambda _: None,
) -> None:
    """Time all entries in turns, and large matrix products among them.

    Args:
        entries: their ``times`` get one value per complete round, also if interrupted.
        settings: device and number of rounds.
        rates: gets GFLOP/s of large matrix products in each round, by type and kernel.
        log: gets a line per round.
    """
    timer = timing.time_cuda if settings.device == 'cuda' else timing.time_cpu
    types = {PRECISIONS[e.case.precision].products for e in entries}
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
        log(f'round {len(entries[0].times)}: ' + ', '.join(f'{n} {times[n] * 1e3:.1f} ms' for n in by_name))


def machine_rate(rates: dict[str, list[float]], dtype: torch.dtype) -> float:
    """Return the GFLOP/s of the fastest matrix kernel in one type."""
    prefix = f'{str(dtype).removeprefix("torch.")} '
    return max(Spread.of(values).median for name, values in rates.items() if name.startswith(prefix))


def records(
    entries: list[Entry], settings: Settings, rates: dict[str, list[float]], memory: Peaks
) -> list[dict[str, Any]]:
    """Return the measurements of each entry as plain numbers.

    Args:
        entries: with their times.
        settings: of the comparison.
        rates: GFLOP/s of matrix products per type and kernel.
        memory: peaks of the entries.
    """
    return [_record(e, [o for o in entries if o.size == e.size], settings, rates, memory) for e in entries if e.times]


def _record(
    entry: Entry, others: list[Entry], settings: Settings, rates: dict[str, list[float]], memory: Peaks
) -> dict[str, Any]:
    c = entry.case
    spread = Spread.of(entry.times)
    gflops = _gflops(entry, settings, spread.median)
    rate = machine_rate(rates, PRECISIONS[c.precision].products)
    by_case = {e.case: e for e in others}
    medians = {e.case: Spread.of(e.times).median for e in others}
    best = best_baseline(medians, {e.case: e.variant for e in others}, c)
    chosen = [baseline for text in settings.baselines for baseline in named(text, list(by_case), c)]
    wanted = dict.fromkeys([*([best] if best else []), *chosen])
    return dict(
        name=str(c),
        model=c.model,
        precision=c.precision,
        mode=c.mode,
        baseline=c.is_baseline or not _has_our_modules(entry.model),
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
        gflops=gflops,
        matrix_gflops=rate,
        share_of_peak=None if gflops is None else gflops / rate,
        **memory.get(str(entry), dict(peak_memory=None, peak_allocated=None)),
        operators=entry.operators,
        best_baseline=str(best) if best else None,
        speedups={str(p): timing.speedup(entry.times, by_case[p].times)._asdict() for p in wanted if p != c},
        checked=entry.checked,
    )


def _gflops(entry: Entry, settings: Settings, seconds: float) -> float | None:
    """Return 10^9 operations per second; None for a whole detector's training, whose heads see other boxes than a test.

    The count is that of a test.
    """
    if settings.output == 'whole' and settings.training:
        return None
    return 2 * entry.macs * (TRAINING_FACTOR if settings.training else 1) / seconds / 1e9


def _has_our_modules(model: nn.Module) -> bool:
    """Return False for a model of other libraries alone, such as a baseline that is named by its config."""
    owners = {type(module).__module__ for module in model.modules()}
    return any(name.startswith('mmsparseswin.') and not name.startswith('mmsparseswin.benchmark.') for name in owners)


def named(text: str, others: list[Case], ours: Case) -> list[Case]:
    """Find the cases of a baseline: those of that full name, else of that model in the precision and mode of `ours`."""
    exact = [c for c in others if str(c) == text]
    same = [c for c in others if c.model == text and (c.precision, c.mode) == (ours.precision, ours.mode)]
    return exact or same


def require_named(settings: Settings, cases: list[Case]) -> None:
    """Check that every baseline of the settings is among the cases.

    Raises:
        InputError: one is not.
    """
    for text in settings.baselines:
        if not any(text in (str(c), c.model) for c in cases):
            raise InputError(f'--baselines {text} does not run; choose one of {[str(c) for c in cases]}')


def growths(measured: list[dict[str, Any]]) -> dict[str, float]:
    """Fit the exponent of time in image area by case, from records of at least two sizes."""
    by_name: dict[str, list[tuple[int, float]]] = {}
    for record in measured:
        by_name.setdefault(record['name'], []).append((Size.parse(record['size']).area, record['median']))
    return {name: timing.growth(*zip(*points, strict=True)) for name, points in by_name.items() if len(points) > 1}
