"""Which tokens see which in a dumbbell unit of STViT-R: pooling cells, neighbourhoods and masks as index tables.

A unit looks at two token maps, the image's and that of semantic tokens (a few per window of the image). Its
attentions take the queries of one window and the keys of a neighbourhood around it. Both are chosen by index after
all projections, which therefore run once per token (docs/models/stvit_r.md, 'Detector projections'); the tables depend
on the grid alone and are cached.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.pooled_keys import PooledMap, pool_map
from mmsparseswin.layers.tables import table, to_device
from mmsparseswin.layers.windows import window_plan

PRESETS = ('cls', 'det')
MASKS = ('exact', 'official')

# The published figure. It is finite, so that a query without any valid key (in padding) gives no NaN.
MASKED = -1000.0
# All keys with a mask instead of copied neighbourhoods, as long as they are no more than this many times as many.
_DENSE = 2


class Neighbourhood(NamedTuple):
    """Queries in windows, and the keys of each window; without tables, all queries and all keys in one window."""

    query_map: Grid
    key_maps: tuple[Grid, ...]  # keys number the tokens of these maps one after the other
    queries: Tensor | None = None  # (windows * area,) query in each slot; slots outside the map repeat one
    inverse: Tensor | None = None  # (queries,) slot of each query
    keys: Tensor | None = None  # (windows * K,) key in each slot; one past the last is a zero token
    mask: Tensor | None = None  # for the scores, (1 or B, windows, K) with tables, else (1 or B, 1, 1 or queries, keys)
    windows: int = 1
    padded: bool = False  # whether `keys` uses the zero token
    pools: tuple[PooledMap | None, ...] = ()  # where a map of `key_maps` is the means of one; () if none is

    def chunks(self, keys: int) -> 'list[Neighbourhood]':
        """Split into neighbourhoods of a few windows with about ``keys`` keys each; their slots follow one another."""
        if self.queries is None or self.keys is None:
            return [self]
        step = max(1, keys * self.windows // len(self.keys))
        queries, slots = self.queries.view(self.windows, -1), self.keys.view(self.windows, -1)
        return [
            self._replace(
                queries=queries[i : i + step].flatten(),
                keys=slots[i : i + step].flatten(),
                mask=self.mask if self.mask is None else self.mask[:, i : i + step],
                windows=len(queries[i : i + step]),
            )
            for i in range(0, self.windows, step)
        ]


class UnitPlan(NamedTuple):
    """All tables of a dumbbell unit on one grid."""

    token_grid: Grid  # the semantic tokens
    cells: Tensor  # (T, slots) image token in each slot of a pooling cell; one past the last is a zero token
    repeats: Tensor  # (T, slots) True where a slot repeats another, because cells differ in size or are cut
    generate: Neighbourhood  # block 1: semantic tokens of a window -> image tokens around it
    regenerate: Neighbourhood  # block 2: semantic tokens -> image tokens, farther
    local: Neighbourhood  # block 3: semantic tokens of one window
    everywhere: Neighbourhood  # block 4: all semantic tokens
    recover: Neighbourhood  # block 5: image tokens -> semantic tokens

    def of_block(self, number: int) -> Neighbourhood:
        """Return the neighbourhood of block ``number`` (1-5)."""
        return (self.generate, self.regenerate, self.local, self.everywhere, self.recover)[number - 1]


class _Source(NamedTuple):
    """Keys of every window out of one map."""

    grid: Grid
    token: Tensor  # (windows, K); one past the last token is padding
    allowed: Tensor  # (1 or B, windows, K)


@table(64)
def unit_plan(
    grid: Grid,
    window: int,
    tokens: int,
    preset: str,
    masks: str,
    device: torch.device,
    global_keys: int | None = None,
) -> UnitPlan:
    """The tables of one grid, cached by all they depend on.

    Args:
        grid: the image tokens.
        window: side of a window, in image tokens.
        tokens: side of a window's semantic tokens.
        preset: 'cls' or 'det', the published classifier's or detector's neighbourhoods.
        masks: 'exact' leaves padding out of cells and keys. 'official' masks as the published detector does, and knows
            no valid areas; the published classifier has no masks, because nothing is padded at the size it is bound to.
        device: where the tables live.
        global_keys: the most keys of one map for blocks that see whole maps (4; with 'cls' also 2 and 5): a larger map
            is pooled to no more. None: as many as there are.
    """
    official = preset == 'det' and masks == 'official'
    return to_device(_make_plan(grid, window, tokens, preset, official, global_keys), device)


def _make_plan(grid: Grid, window: int, tokens: int, preset: str, official: bool, global_keys: int | None) -> UnitPlan:
    if official:
        grid = Grid(grid.height, grid.width)
    token_grid = _token_grid(grid, window, tokens, official)
    cells, repeats = _cells(grid, window, tokens, token_grid, official)
    windows = -(-grid.height // window), -(-grid.width // window)
    # The padding in image tokens, which the published code also uses where it counts semantic tokens.
    pads = (-grid.height % window, -grid.width % window) if official else None
    half = window // 2

    def image(before: int, after: int) -> _Source:
        return _source(grid, windows, window, before, after, pads)

    own = _source(token_grid, windows, tokens, 0, 0, None)
    everywhere = _whole(token_grid, (token_grid,), global_keys)
    if preset == 'cls':
        generate = _neighbourhood(token_grid, tokens, [own, image(half, half)])
        regenerate = _whole(token_grid, (token_grid, grid), global_keys)
        recover = _whole(grid, (token_grid,), global_keys)
    else:
        generate = _neighbourhood(token_grid, tokens, [image(half, window - half)], may_be_dense=not official)
        regenerate = _neighbourhood(token_grid, tokens, [image(window, window)], may_be_dense=not official)
        reach = 4 * tokens
        semantic = _source(token_grid, windows, tokens, reach, reach, pads)
        recover = _neighbourhood(grid, window, [semantic], may_be_dense=not official)
    local = _neighbourhood(token_grid, tokens, [own], may_be_dense=False)
    return UnitPlan(token_grid, cells, repeats, generate, regenerate, local, everywhere, recover)


def _bounds(length: int, window: int, tokens: int) -> tuple[Tensor, Tensor]:
    """First and one past the last position of each pooling cell along an axis, as adaptive pooling cuts a window."""
    windows, cell = torch.arange(-(-length // window))[:, None] * window, torch.arange(tokens)
    start = windows + cell * window // tokens
    stop = windows - (-(cell + 1) * window // tokens)
    return start.flatten(), stop.flatten()


def _token_grid(grid: Grid, window: int, tokens: int, official: bool) -> Grid:
    """The semantic tokens; unless all of them are wanted, those whose cell has a valid image token."""

    def size(height: int, width: int) -> tuple[int, int]:
        rows, cols = _bounds(height, window, tokens)[0], _bounds(width, window, tokens)[0]
        return (len(rows), len(cols)) if official else (int((rows < height).sum()), int((cols < width).sum()))

    return Grid(*size(grid.height, grid.width), grid.valid and tuple(size(*valid) for valid in grid.valid))


def _cells(grid: Grid, window: int, tokens: int, token_grid: Grid, official: bool) -> tuple[Tensor, Tensor]:
    """Image token in each slot of each cell (T, slots), and which slots repeat another."""

    def axis(length: int, count: int) -> tuple[Tensor, Tensor]:
        start, stop = (bound[:count, None] for bound in _bounds(length, window, tokens))
        last = stop if official else stop.clamp(max=length)
        position = start + torch.arange(int((stop - start).max()))
        repeat = position >= last
        position = torch.minimum(position, last - 1)
        return position.where(position < length, -1), repeat

    rows, row_repeats = axis(grid.height, token_grid.height)
    cols, col_repeats = axis(grid.width, token_grid.width)
    index = _cross(rows * grid.width, cols, torch.add)
    outside = _cross(rows < 0, cols < 0, torch.logical_or)
    return index.masked_fill(outside, grid.height * grid.width), _cross(row_repeats, col_repeats, torch.logical_or)


def _cross(rows: Tensor, cols: Tensor, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """(r, a) and (c, b) -> (r * c, a * b)."""
    return combine(rows[:, None, :, None], cols[None, :, None, :]).flatten(2).flatten(0, 1)


def _source(
    grid: Grid, windows: tuple[int, int], step: int, before: int, after: int, pads: tuple[int, int] | None
) -> _Source:
    """Around each window of ``step`` tokens: the tokens from ``before`` it to ``after`` it.

    ``pads`` asks for the published masks; without it whatever is outside the map is left out or masked.
    """
    reach = before + after
    spans = _published_span if pads else _cut_span
    rows, row_ok = spans(windows[0], grid.height, step, before, reach)
    cols, col_ok = spans(windows[1], grid.width, step, before, reach)
    index = _cross(rows * grid.width, cols, torch.add)
    inside = _cross(row_ok, col_ok, torch.logical_and)
    if pads is not None:
        index = index.masked_fill(~inside, grid.height * grid.width)
        (row_banned, row_outside), (col_banned, col_outside) = (
            _banned(position, step, pad) for position, pad in zip((rows, cols), pads, strict=True)
        )
        masked = _cross(row_banned, col_banned, torch.logical_and)
        masked |= _cross(row_outside, col_outside, torch.logical_or)
        return _Source(grid, index, ~masked[None])
    index, allowed = index.masked_fill(~inside, 0), inside[None]
    if grid.valid is not None:
        allowed = allowed & grid.mask(index.device).flatten(1)[:, index]  # (B, windows, K)
    return _Source(grid, index, allowed)


def _cut_span(windows: int, length: int, step: int, before: int, reach: int) -> tuple[Tensor, Tensor]:
    """Positions of each neighbourhood along an axis, cut at the map's border, and which of them are in it."""
    start = torch.arange(windows)[:, None] * step - before
    stop = (start + step + reach).clamp(max=length)
    start = start.clamp(min=0)
    count = int((stop - start).max()) if reach else step
    position = start + torch.arange(count)
    return position, position < stop


def _published_span(windows: int, length: int, step: int, before: int, reach: int) -> tuple[Tensor, Tensor]:
    """Return spans of one length, as published: places outside the map are zero tokens."""
    position = torch.arange(windows)[:, None] * step - before + torch.arange(step + reach)
    return position, (position >= 0) & (position < length)


def _banned(position: Tensor, step: int, pad: int) -> tuple[Tensor, Tensor]:
    """Positions along an axis that the published code masks as padding of its map, and those outside that map.

    The padding is sliced off as ``[-pad:]``, which is everything where there is none; both axes are then joined by
    'and', which leaves a corner where there should be two strips.
    """
    length = len(position) * step
    return position >= length - (pad or length), (position < 0) | (position >= length)


def _neighbourhood(queries: Grid, step: int, sources: list[_Source], may_be_dense: bool = True) -> Neighbourhood:
    """Windows of ``step`` queries; the keys of ``sources`` are numbered through."""
    index, offset = [], 0
    total = sum(source.grid.height * source.grid.width for source in sources)
    for source in sources:
        count = source.grid.height * source.grid.width
        index.append((source.token + offset).masked_fill(source.token == count, total))
        offset += count
    keys, allowed = torch.cat(index, 1), torch.cat([source.allowed for source in sources], 2)
    # Ordered by rows, as no window is shifted.
    plan = window_plan(Grid(queries.height, queries.width), (step, step), False, torch.device('cpu'))
    maps = tuple(source.grid for source in sources)
    if may_be_dense and total <= _DENSE * keys.shape[1]:
        return Neighbourhood(queries, maps, mask=_dense_mask(plan.inverse // step**2, keys, allowed, total))
    return Neighbourhood(
        queries,
        maps,
        plan.gather.clamp(max=queries.height * queries.width - 1),
        plan.inverse,
        keys.flatten(),
        None if _uniform(allowed) else _additive(allowed),
        len(keys),
        bool((keys == total).any()),
    )


def _dense_mask(window: Tensor, keys: Tensor, allowed: Tensor, total: int) -> Tensor | None:
    """All keys for every query; ``window`` (queries,) tells whose neighbourhood the mask leaves open."""
    seen = torch.zeros(len(allowed), len(keys), total + 1, dtype=torch.bool)
    seen.scatter_(2, keys.masked_fill(~allowed, total), True)
    seen = seen[..., :total]
    if seen.all():
        return None
    if (seen == seen[:, :1]).all():
        return _additive(seen[:, None, :1])
    return _additive(seen[:, None, window])


def _whole(queries: Grid, maps: tuple[Grid, ...], bound: int | None) -> Neighbourhood:
    """Every query sees all of ``maps``, or the means of its cells where one has more than ``bound`` tokens."""
    pools = tuple(pool_map(grid, bound) for grid in maps)
    counts = [_counts(grid) if pool is None else pool.counts for grid, pool in zip(maps, pools, strict=True)]
    images = max(len(count) for count in counts)
    joined = torch.cat([count.expand(images, -1) for count in counts], 1)
    # A mean of n tokens counts n times; a shift that all scores share changes nothing.
    mask = None if (joined == joined[0, 0]).all() else joined.log().clamp(min=MASKED)[:, None, None]
    seen = tuple(grid if pool is None else pool.cells for grid, pool in zip(maps, pools, strict=True))
    return Neighbourhood(queries, seen, mask=mask, pools=pools if any(pools) else ())


def _counts(grid: Grid) -> Tensor:
    """(1 or B, tokens): 1 on the image, 0 on padding."""
    if grid.valid is None:
        return torch.ones(1, grid.height * grid.width)
    return grid.mask(torch.device('cpu')).flatten(1).float()


def _uniform(allowed: Tensor) -> bool:
    """Return True if masking changes nothing: all keys are allowed, or none."""
    return bool((allowed == allowed.flatten()[0]).all())


def _additive(allowed: Tensor) -> Tensor:
    return torch.where(allowed, 0.0, MASKED)
