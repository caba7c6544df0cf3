"""All attention of one forward pass, and its way back onto the image.

The normal forward pass uses fused attention, which has no weights to return. Here forward hooks ask each attention
module for them, for one pass; no block knows of it, and compiled or exported models stay as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.errors import InputError
from mmsparseswin.layers.blocks import SwinBlock
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.sparta import SparseStage, TokenBlock, TokensToMapAttention
from mmsparseswin.layers.windows import window_plan

_LARGEST_DENSE = 2**28  # entries of a dense attention matrix: 1 GiB in float32


class Attention(NamedTuple):
    """The attention weights of one block; every row of ``weights`` sums to 1.

    ``kind`` says who attends to whom:

    - 'window': image tokens inside (shifted) windows, weights (B * windows, heads, area, area); the windows of an image
      are row-major and lie in the rolled frame, padded to whole windows, as published.
    - 'tokens': all sparse tokens among themselves, weights (B, heads, T, T).
    - 'map': image tokens to sparse tokens, weights (B, heads, N, T); its block number follows the token blocks'.
    """

    kind: str
    stage: int
    block: int
    shift: int  # tokens the windows are shifted by: 0 or half a window (only along axes with more than one window)
    window: tuple[int, int] | None  # (height, width) in tokens; None for the other kinds
    grid: Grid  # the image tokens; for 'tokens' those that the sparse tokens were made from
    weights: Tensor


@contextmanager
def record_attention(model: nn.Module) -> Iterator[list[Attention]]:
    """Inside the context, every forward pass of ``model`` appends its attention to the yielded list, block by block.

    Compiled models run uncompiled meanwhile, and gradient checkpointing is off, so that the weights carry gradients.

    Args:
        model: a backbone of ours, or any classifier or detector that holds one.

    Raises:
        InputError: no such backbone in the model; or, in the forward pass, images of different valid sizes.
    """
    backbones = [module for module in model.modules() if isinstance(module, TokenBackbone)]
    if not backbones:
        raise InputError(f'{type(model).__name__} holds no backbone of mmsparseswin, whose attention could be recorded')
    with _Recorder() as recorder:
        for backbone in backbones:
            for i, stage in enumerate(backbone.stages):
                recorder.watch(i, stage)
        yield recorder.records


def return_attention(model: nn.Module, *inputs: Any, **kwargs: Any) -> tuple[Any, list[Attention]]:
    """``model(*inputs, **kwargs)``, and the attention of every block in the order they ran.

    See :func:`record_attention`. Call ``model.eval()`` first, and use ``torch.no_grad()`` unless you need gradients.
    """
    with record_attention(model) as records:
        return model(*inputs, **kwargs), records


class _Recorder(ExitStack):
    """Hooks on attention modules, all of them removed at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Attention] = []
        self.grid = Grid(0, 0)  # of the block or sparse stage that runs
        self.enter_context(torch.compiler.set_stance('force_eager'))  # a compiled graph does not run new hooks

    def watch(self, i: int, stage: nn.Module) -> None:
        """Record the attention of stage ``i``."""
        self.callback(setattr, stage, 'with_cp', stage.with_cp)
        stage.with_cp = False  # type: ignore[assignment]
        blocks: Sequence[nn.Module] = stage.blocks  # type: ignore[assignment]
        for j, block in enumerate(blocks):
            if isinstance(block, SwinBlock):
                self._note_grid_of(block)
                self._ask(block.attn, partial(self._window, i, j, block))
            elif isinstance(block, TokenBlock):
                self._ask(block, lambda weights, j=j: Attention('tokens', i, j, 0, None, self.grid, weights))
        if isinstance(stage, SparseStage):
            self._note_grid_of(stage)
            if isinstance(stage.token_to_map, TokensToMapAttention):
                last = len(blocks)
                self._ask(
                    stage.token_to_map,
                    lambda weights: Attention('map', i, last, 0, None, self.grid.coarser(2), weights),
                )

    def _window(self, i: int, j: int, block: SwinBlock, weights: Tensor) -> Attention:
        window, grid = block.attn.window, self.grid
        shifted = block.shift and (grid.height > window[0] or grid.width > window[1])
        return Attention('window', i, j, window[0] // 2 if shifted else 0, window, grid, weights)

    def _note_grid_of(self, module: nn.Module) -> None:
        def note(_: nn.Module, args: tuple) -> None:
            grid: Grid = args[1]
            if grid.valid is not None and len(grid.valid) > 1:
                raise InputError('the images of this batch have different sizes: ask for attention one image at a time')
            self.grid = grid if grid.valid is None else Grid(*grid.valid[0])  # it gets the windows it gets unpadded

        self.enter_context(module.register_forward_pre_hook(note))

    def _ask(self, module: nn.Module, describe: Any) -> None:
        """Have ``module``, which returns (output, weights or None), return the weights, and record them."""

        def ask(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            return args, {**kwargs, 'need_weights': True}

        def keep(_: nn.Module, args: tuple, output: tuple[Tensor, Tensor]) -> None:
            self.records.append(describe(output[1]))

        self.enter_context(module.register_forward_pre_hook(ask, with_kwargs=True))
        self.enter_context(module.register_forward_hook(keep))


def stitch(record: Attention) -> Tensor:
    """Window attention between all tokens of the image: (B, heads, N, N), [..., query, key], both in raster order.

    Un-rolled; exactly 0 between tokens that do not see each other. Slots of padding are left out and the rest of a row
    is scaled to the sum 1 (published Swin lets tokens attend to the padding of incomplete windows).

    Raises:
        InputError: another kind, or more than 1 GiB; use :func:`attention_from` or :func:`attention_received`.
    """
    return _dense(*_image_windows(record), record.grid)


def attention_from(record: Attention, y: int, x: int) -> Tensor:
    """What one query token looks at: (B, heads, H, W), the row of :func:`stitch` for token (y, x) of ``record.grid``.

    Raises:
        InputError: no window attention, or a place outside the grid.
    """
    height, width = record.grid.height, record.grid.width
    if not (0 <= y < height and 0 <= x < width):
        raise InputError(f'token ({y}, {x}) is outside the grid of {height} x {width} tokens')
    tokens, weights = _image_windows(record)
    window, slot = (tokens == y * width + x).nonzero()[0].tolist()
    return _onto_image(weights[:, :, window, slot], tokens[window], record.grid)


def attention_received(record: Attention) -> Tensor:
    """How much each token is looked at: (B, heads, H, W), the columns of :func:`stitch` summed; 1 on average.

    Raises:
        InputError: no window attention.
    """
    tokens, weights = _image_windows(record)
    return _onto_image(weights.sum(-2).flatten(2), tokens.flatten(), record.grid)


def rollout(records: Sequence[Attention], stage: int) -> Tensor:
    """Attention rollout through the blocks of one stage (Abnar and Zuidema, arXiv 2005.00928).

    The heads' mean of each block, half of it replaced by the identity for the residual branch, multiplied over blocks.

    Args:
        records: of one forward pass.
        stage: a stage of Swin, or the sparse stage (whose tokens, not image tokens, are followed).

    Returns:
        (B, N, N), or (B, T, T): row n is where the output token n comes from in the stage's input; rows sum to 1.

    Raises:
        InputError: nothing recorded of this stage, or too large, see :func:`stitch`.
    """
    mixed = None
    for record in records:
        if record.stage != stage or record.kind == 'map':
            continue
        if record.kind == 'tokens':
            mean = record.weights.mean(1)
        else:
            tokens, weights = _image_windows(record)
            mean = _dense(tokens, weights.mean(1, keepdim=True), record.grid)[:, 0]
        step = (mean + torch.eye(mean.shape[-1], dtype=mean.dtype, device=mean.device)) / 2
        mixed = step if mixed is None else step @ mixed
    if mixed is None:
        raise InputError(f'no attention of stage {stage} among the records, only {sorted({r.stage for r in records})}')
    return mixed


def _image_windows(record: Attention) -> tuple[Tensor, Tensor]:
    """The token of each slot (windows, area), N on padding; and weights (B, heads, windows, area, area).

    Weights from or to padding and between regions are 0 (of the latter e**-100 is left in the raw ones); the rows of
    image tokens sum to 1.
    """
    if record.window is None:
        raise InputError(f'attention of kind {record.kind!r} has no windows to put together: use record.weights')
    area, weights = record.window[0] * record.window[1], record.weights
    plan = window_plan(record.grid, record.window, record.shift > 0, weights.device)
    tokens = plan.gather.view(-1, area)[plan.order]
    inside = tokens < record.grid.height * record.grid.width
    seen = inside[:, :, None] & inside[:, None]
    if plan.mask is not None:  # of the last windows of the plan
        masks = plan.mask.new_zeros(len(tokens), area, area)
        masks[-len(plan.mask) :] = plan.mask
        seen &= masks[plan.order] == 0
    weights = weights.unflatten(0, (-1, len(tokens))).transpose(1, 2) * seen
    return tokens, weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


def _dense(tokens: Tensor, weights: Tensor, grid: Grid) -> Tensor:
    """What :func:`_image_windows` returns -> (B, heads, N, N)."""
    batch, heads, count = *weights.shape[:2], grid.height * grid.width
    if batch * heads * count**2 > _LARGEST_DENSE:
        raise InputError(
            f'attention between all {count} tokens would be ({batch}, {heads}, {count}, {count}): more than 1 GiB; '
            'use attention_from(record, y, x) or attention_received(record), or a smaller image'
        )
    dense = weights.new_zeros(batch, heads, count + 1, count + 1)  # padding has the last place
    dense[:, :, tokens[:, :, None], tokens[:, None]] = weights
    return dense[:, :, :-1, :-1]


def _onto_image(values: Tensor, tokens: Tensor, grid: Grid) -> Tensor:
    """Values (B, heads, n) of ``tokens`` (n,) -> (B, heads, height, width), 0 elsewhere."""
    flat = values.new_zeros(*values.shape[:2], grid.height * grid.width + 1)
    flat[..., tokens] = values
    return flat[..., :-1].unflatten(-1, (grid.height, grid.width))
