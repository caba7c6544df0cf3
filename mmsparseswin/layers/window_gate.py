"""Window gate: a stage of windows computes those whose activation is largest; the others keep their residual.

The score of a window is the L2 norm, over channels, of the mean absolute activation of its tokens where the blocks of
the stage begin; padding counts as 0. Windows are ranked once per shift phase, and all blocks of a phase run on the same
ones (docs/sparsity.md, 'What a stage computes').

The tokens of the kept windows are packed into one row, which has a window plan of its own. Blocks run on it as on any
other grid, and what they return is put back.
"""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmsparseswin.errors import InputError
from mmsparseswin.layers.chunked import Chunks, cut
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.tables import table, to_device
from mmsparseswin.layers.windows import WindowPlan, axis_positions, window_plan

Phase = tuple[tuple[int, int], bool, bool]  # (height, width) of a window, shift, shift_single: see `window_plan`


@dataclass(eq=False)
class KeptWindows:
    """The windows of one shift phase that a stage computes.

    Attributes:
        windows: (K,) number of each kept window, ascending: through the batch, row-major in each image.
        count: windows of the whole batch.
        batch: images.
        tokens: (T,) place of each packed token, counted through the batch; one past the last for padding.
        images: (T,) image of each packed token.
        plan: windows of the packed tokens.
        padded: True if some packed tokens are padding.
    """

    windows: Tensor
    count: int
    batch: int
    tokens: Tensor
    images: Tensor
    plan: WindowPlan
    padded: bool
    _chunks: dict[int, Chunks] = field(default_factory=dict)

    def take(self, x: Tensor) -> Tensor:
        """Tokens (B, N, C) in grid order -> packed tokens (1, T, C)."""
        return self._rows(x).index_select(0, self.tokens)[None]

    def put_back(self, x: Tensor, packed: Tensor) -> Tensor:
        """(B, N, C) with packed tokens (1, T, C) in their places -> (B, N, C)."""
        rows = self._rows(x)
        return rows.index_copy(0, self.tokens, packed[0].to(x.dtype))[: x.shape[0] * x.shape[1]].view(x.shape)

    def _rows(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        return F.pad(rows, (0, 0, 0, 1)) if self.padded else rows  # a row for what padding returns

    def chunks(self, tokens: int) -> Chunks:
        """Return the packed tokens in chunks of ``tokens``, for all blocks of the phase."""
        if tokens not in self._chunks:
            self._chunks[tokens] = cut(self.plan, len(self.tokens), 1, tokens)
        return self._chunks[tokens]

    def mask(self) -> Tensor:
        """(windows of the whole batch,) bool, True where a window is kept."""
        kept = torch.zeros(self.count, dtype=torch.bool, device=self.windows.device)
        return kept.index_fill(0, self.windows, True)


def choose_windows(
    x: Tensor, grid: Grid, phases: Iterable[Phase], share: float, threshold: float = 0.0
) -> dict[Phase, KeptWindows]:
    """Rank the windows of each phase by the activation ``x`` and keep the first.

    Args:
        x: (B, N, C) tokens of ``grid`` where the blocks of a stage begin.
        grid: their grid; an image that is smaller than it gets the windows that it would get alone.
        phases: kinds of windows in the stage.
        share: of the windows of each image that is kept, rounded up.
        threshold: windows with a lower score are left out too, but for the best one of each image.

    Returns:
        phase -> its windows; nothing for a phase of which all windows are kept.

    Raises:
        InputError: a threshold where the number of windows must not depend on values.
    """
    found = {}
    activation = None
    for phase in dict.fromkeys(phases):
        counts = window_counts(grid, phase[0]) * (1 if grid.valid is not None else len(x))
        most = [ceil(share * count - 1e-6) for count in counts]  # 0.1 * 30 is a little more than 3
        if most == counts and not threshold:
            continue
        if activation is None:
            activation = x.detach().abs().to(torch.promote_types(x.dtype, torch.float32))
        scores = _scores(activation, grid, phase)
        found[phase] = _pack(_best(scores, most, threshold), x, grid, phase)
    return found


def window_counts(grid: Grid, window: tuple[int, int]) -> list[int]:
    """Return the number of windows of each image; of any image, as one number, if all are as large as the grid."""
    return [ceil(h / window[0]) * ceil(w / window[1]) for h, w in grid.valid or ((grid.height, grid.width),)]


def window_scores(x: Tensor, grid: Grid, phase: Phase) -> list[Tensor]:
    """(B, N, C) tokens of ``grid`` -> the scores of each image's windows in row-major order, (windows,) each."""
    return _scores(x.detach().abs().to(torch.promote_types(x.dtype, torch.float32)), grid, phase)


def _scores(activation: Tensor, grid: Grid, phase: Phase) -> list[Tensor]:
    window, shift, single = phase
    maps = activation.unflatten(1, (grid.height, grid.width))
    parts = [maps] if grid.valid is None else [maps[i : i + 1, :h, :w] for i, (h, w) in enumerate(grid.valid)]
    scores: list[Tensor] = []
    for part in parts:
        batch, height, width, dims = part.shape
        rows = _bins(height, window[0], shift, single, part.device).to(part.dtype)
        cols = _bins(width, window[1], shift, single, part.device).to(part.dtype)
        # Half precision would rank windows of near scores at random.
        exact = nullcontext() if part.is_meta else torch.autocast(part.device.type, enabled=False)
        with exact:
            sums = torch.bmm(rows.expand(batch, -1, -1), part.flatten(2))  # (B, window rows, width * C)
            sums = torch.bmm(cols.expand(batch * len(rows), -1, -1), sums.view(-1, width, dims))
        scores += (sums / (window[0] * window[1])).norm(dim=-1).view(batch, -1).unbind()
    return scores


@table(256)
def _bins(length: int, window: int, shift: bool, single: bool, device: torch.device) -> Tensor:
    """(windows along an axis, length), 1 where a position is in a window."""
    position, _ = axis_positions(length, window, shift, single)
    bins = torch.zeros(len(position) // window, length + 1)
    bins[torch.arange(len(position)) // window, position] = 1  # the last column, -1, collects padding
    return bins[:, :-1].contiguous().to(device)


def _best(scores: Sequence[Tensor], most: Sequence[int], threshold: float) -> Tensor:
    """Return the numbers of the kept windows, ascending through the batch: at most ``most`` of each image."""
    if threshold and not _has_values(scores[0]):
        raise InputError(
            f'keep_threshold={threshold}: the number of windows depends on the image, which cannot be compiled, traced '
            'or counted without values; use keep_windows alone'
        )
    kept, start = [], 0
    for score, count in zip(scores, most, strict=True):
        # Stable, so that windows of equal scores are taken in the same order on every device.
        best = score.argsort(descending=True, stable=True)[:count]
        if threshold:
            enough = score[best] >= threshold
            enough[0] = True
            best = best[enough]
        kept.append(best.sort().values + start)
        start += len(score)
    return torch.cat(kept)


class _Layout(NamedTuple):
    """A window plan in row-major order, with the mask of every window."""

    slots: Tensor  # (windows, area) token in each slot, as in the plan
    seam: Tensor  # (windows,) row of `masks`
    masks: Tensor  # (masked windows + 1, area, area); the last one is 0
    images: Tensor  # (windows,) image of each window, where the plan goes through the batch


@table(256)
def _layout(grid: Grid, window: tuple[int, int], shift: bool, device: torch.device, single: bool) -> _Layout:
    plan = window_plan(grid, window, shift, torch.device('cpu'), single)
    area, count = window[0] * window[1], len(plan.order)
    masks = torch.zeros(0, area, area) if plan.mask is None else plan.mask
    seam = (torch.arange(count) - (count - len(masks))).where(torch.arange(count) >= count - len(masks), len(masks))
    images = torch.repeat_interleave(torch.tensor(window_counts(grid, window)))
    return to_device(
        _Layout(
            plan.gather.view(-1, area)[plan.order],
            seam[plan.order],
            torch.cat((masks, torch.zeros(1, area, area))),
            images,
        ),
        device,
    )


def _pack(windows: Tensor, x: Tensor, grid: Grid, phase: Phase) -> KeptWindows:
    """Pack the tokens of ``windows`` (K,)."""
    window, shift, single = phase
    batch, cells, area = len(x), grid.height * grid.width, window[0] * window[1]
    plan, layout = window_plan(grid, window, shift, x.device, single), _layout(grid, window, shift, x.device, single)
    count = len(layout.slots)
    if plan.flat:
        number, images, last = windows, layout.images.index_select(0, windows), batch * cells
    else:
        number, images, last = windows % count, windows // count, cells
        count *= batch
    looks = x.device.type == 'cpu' and _has_values(x)
    seam = layout.seam.index_select(0, number)
    masked = seam < len(layout.masks) - 1
    if looks:  # windows without a seam first: they need no mask
        first = masked.long().argsort(stable=True)
        number, images, seam = (t.index_select(0, first) for t in (number, images, seam))
        seam = seam[len(seam) - int(masked.sum()) :]
        order = first.argsort()
    else:
        order = torch.arange(len(windows), device=x.device)
    slots = layout.slots.index_select(0, number)  # (K, area)
    outside = slots == last
    if not plan.flat:
        slots = slots + images[:, None] * cells
    tokens = slots.masked_fill(outside, batch * cells).flatten()
    images = images[:, None].expand(-1, area).flatten()
    gather = torch.arange(len(tokens), device=x.device)
    inverse, padded = gather, plan.padded
    outside = outside.flatten()
    if padded and looks:  # no padding among the packed tokens
        inverse = (~outside).nonzero()[:, 0]
        tokens, images = tokens[inverse], images[inverse]
        gather = ((~outside).cumsum(0) - 1).masked_fill(outside, len(tokens))
        padded = len(inverse) < len(gather)
    elif padded:
        gather = gather.masked_fill(outside, len(tokens))
    has_mask = plan.mask is not None and len(seam) > 0
    mask = layout.masks.index_select(0, seam) if has_mask else None
    packed = WindowPlan(gather, inverse, mask, order, padded, flat=True)
    return KeptWindows(windows, count, batch, tokens, images, packed, plan.padded and not looks)


def _has_values(x: Tensor) -> bool:
    """Return True if code may depend on the values of ``x``: nothing compiles, exports, traces or only counts it."""
    return (
        type(x) is Tensor
        and x.device.type != 'meta'
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and torch._C._functorch.peek_interpreter_stack() is None
    )
