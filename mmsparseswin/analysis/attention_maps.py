"""Record all attention of one forward pass.

The normal forward pass uses fused attention, which has no weights to return. Here forward hooks ask each attention
module for them, for one pass; no block knows of it, and compiled or exported models stay as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmsparseswin.analysis.attention_slots import dense, neighbourhood_slots
from mmsparseswin.backbones.base import TokenBackbone
from mmsparseswin.errors import InputError
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import Neighbourhood
from mmsparseswin.layers.semantic_tokens import UNIT, SemanticBlock, SemanticStage
from mmsparseswin.layers.sparse_stage import SparseStage, TokenBlock, TokensToMapAttention
from mmsparseswin.layers.swin_block import SwinBlock
from mmsparseswin.layers.window_gate import KeptWindows
from mmsparseswin.layers.windows import WindowPlan, window_plan


class Attention(NamedTuple):
    """Attention weights of one block; every row of ``weights`` that belongs to a token sums to 1.

    ``kind`` says who attends to whom:

    - 'window': image tokens inside (shifted) windows, weights (B * windows, heads, area, area); the windows of an image
      are row-major and lie in the rolled frame, padded to whole windows, as published. Windows that the stage left out
      (``keep_windows``) have weights of 0 and are False in ``kept``.
    - 'semantic': tokens of ``grid`` to tokens of ``keys``, semantic or image ones (blocks 1 to 5 of a unit of STViT-R),
      weights (B * windows, heads, area, K), with the queries and keys of each window in ``plan``; or, where ``window``
      is None, (B, heads, N, M) between all queries and all keys.
    - 'tokens': all sparse tokens among themselves, weights (B, heads, T, T).
    - 'map': image tokens to sparse tokens, weights (B, heads, N, T); its block number follows the token blocks'.
    """

    kind: str
    stage: int
    block: int
    shift: int  # shift of the windows in tokens: half a window along the axes that the model shifts, else 0
    window: tuple[int, int] | None  # (height, width) in tokens of `grid`; None for attention without windows
    grid: Grid  # the query tokens; for 'tokens' the image tokens that the sparse tokens were made from
    weights: Tensor
    keys: tuple[Grid, ...] = ()  # the maps of the key tokens, one after the other; () for sparse tokens
    plan: WindowPlan | Neighbourhood | None = None  # assigns a token to each slot of a window
    kept: Tensor | None = None  # (B, windows) True where a window was computed; None: all were


@contextmanager
def record_attention(model: nn.Module) -> Iterator[list[Attention]]:
    """Append the attention of every forward pass of ``model`` in the context to the yielded list, block by block.

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
    """Return ``model(*inputs, **kwargs)`` and the attention of every block, in the order they ran.

    See :func:`record_attention`. Call ``model.eval()`` first, and use ``torch.no_grad()`` unless you need gradients.
    """
    with record_attention(model) as records:
        return model(*inputs, **kwargs), records


class _Recorder(ExitStack):
    """Hook the attention modules of a model; remove the hooks at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Attention] = []
        self.grid = self.given = Grid(0, 0)  # of the running block or stage: without padding, and as given
        self.kept: KeptWindows | None = None  # of the running block
        self.enter_context(torch.compiler.set_stance('force_eager'))  # a compiled graph ignores new hooks

    def watch(self, i: int, stage: nn.Module) -> None:
        """Record the attention of stage ``i``."""
        self.callback(setattr, stage, 'with_cp', stage.with_cp)
        stage.with_cp = False  # type: ignore[assignment]
        blocks: Sequence[nn.Module] = stage.blocks  # type: ignore[assignment]
        for j, block in enumerate(blocks):
            if isinstance(block, SwinBlock):
                self._note_grid_of(block)
                self._ask(block.attn, partial(self._window, i, j, block))
            elif isinstance(block, SemanticBlock):
                assert isinstance(stage, SemanticStage)
                self._ask(block.attn, partial(self._semantic, i, j, stage))
            elif isinstance(block, TokenBlock):
                self._ask(block, partial(self._tokens, i, j))
        if isinstance(stage, SparseStage):
            self._note_grid_of(stage)
            if isinstance(stage.token_to_map, TokensToMapAttention):
                self._ask(stage.token_to_map, partial(self._map, i, len(blocks)))

    def _window(self, i: int, j: int, block: SwinBlock, weights: Tensor) -> Attention:
        window = block.attn.window
        plan = window_plan(self.grid, window, block.shift, weights.device, block.shift_single)
        shift = window[0] // 2 if plan.mask is not None else 0  # only shifted windows have a mask
        mask = None
        if (kept := self.kept) is not None:
            mask = kept.mask().view(kept.batch, -1)
            weights = weights.new_zeros(kept.count, *weights.shape[1:]).index_copy(0, kept.windows, weights)
        return Attention('window', i, j, shift, window, self.grid, weights, (self.grid,), plan, mask)

    def _semantic(self, i: int, j: int, stage: SemanticStage, weights: Tensor) -> Attention:
        plan = stage.plan(self.given, weights.device).of_block(j % UNIT)
        if plan.query_map.valid is not None:
            alone = stage.plan(self.grid, weights.device).of_block(j % UNIT)
            plan, weights = alone, _without_padding(plan, alone, weights)
        side = stage.window if j % UNIT == UNIT - 1 else stage.tokens
        window = None if plan.queries is None else (side, side)
        return Attention('semantic', i, j, 0, window, plan.query_map, weights, plan.key_maps, plan)

    def _tokens(self, i: int, j: int, weights: Tensor) -> Attention:
        return Attention('tokens', i, j, 0, None, self.grid, weights)

    def _map(self, i: int, j: int, weights: Tensor) -> Attention:
        return Attention('map', i, j, 0, None, self.grid.coarser(2), weights)

    def _note_grid_of(self, module: nn.Module) -> None:
        def note(_: nn.Module, args: tuple) -> None:
            grid: Grid = args[1]
            if grid.valid is not None and len(grid.valid) > 1:
                raise InputError('the images of this batch have different sizes: ask for attention one image at a time')
            self.given, self.kept = grid, args[2] if len(args) > 2 else None
            self.grid = grid if grid.valid is None else Grid(*grid.valid[0])  # use the windows of the unpadded image

        self.enter_context(module.register_forward_pre_hook(note))

    def _ask(self, module: nn.Module, describe: Callable[[Tensor], Attention]) -> None:
        """Make ``module`` return its weights, not None, beside its output, and record them."""

        def ask(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            return args, {**kwargs, 'need_weights': True}

        def keep(_: nn.Module, args: tuple, output: tuple[Tensor, Tensor]) -> None:
            self.records.append(describe(output[1]))

        self.enter_context(module.register_forward_pre_hook(ask, with_kwargs=True))
        self.enter_context(module.register_forward_hook(keep))


def _without_padding(plan: Neighbourhood, alone: Neighbourhood, weights: Tensor) -> Tensor:
    """Rearrange the weights of one padded image from the plan ``plan`` into the plan ``alone`` of the unpadded one."""
    between = dense(neighbourhood_slots(plan, weights))
    between = between[:, :, _valid(plan.query_map)][..., torch.cat(_numbered(plan.key_maps))]
    if alone.queries is None or alone.keys is None:
        return between
    queries, keys = alone.queries.view(alone.windows, -1), alone.keys.view(alone.windows, -1)
    weights = between[:, :, queries[:, :, None], keys[:, None]]  # (B, heads, windows, area, K)
    if alone.mask is not None:
        weights = weights * (alone.mask[:, None, :, None] == 0)
    return weights.transpose(1, 2).flatten(0, 1)


def _numbered(maps: Sequence[Grid]) -> list[Tensor]:
    """Return the numbers of the valid tokens of maps whose tokens are numbered one map after the other."""
    starts = [0]
    for grid in maps:
        starts.append(starts[-1] + grid.height * grid.width)
    return [_valid(grid) + start for grid, start in zip(maps, starts, strict=False)]


def _valid(grid: Grid) -> Tensor:
    """Return the valid tokens of a batch of one image."""
    height, width = grid.valid[0] if grid.valid is not None else (grid.height, grid.width)
    return (torch.arange(height)[:, None] * grid.width + torch.arange(width)).flatten()
