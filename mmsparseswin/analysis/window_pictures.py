"""Record which windows a model keeps (``keep_windows``), and draw them over the image."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from mmsparseswin.analysis.attention_pictures import input_picture
from mmsparseswin.backbones.swin_family import SwinFamily
from mmsparseswin.errors import InputError
from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.swin_block import SwinBlock
from mmsparseswin.layers.window_gate import KeptWindows

_DARK = (1.0, 0.45, 0.12)  # brightness of a token that no phase, one phase, both phases of its stage leave out


class Kept(NamedTuple):
    """Tokens that one shift phase of a stage computes, for the images of a batch.

    Attributes:
        stage: counted from 0.
        shift: True for the shifted windows.
        grid: the tokens; an image may be smaller (``grid.valid``).
        tokens: (B, height, width) bool.
        windows: kept windows of the whole batch, and all of them; None where all are kept.
    """

    stage: int
    shift: bool
    grid: Grid
    tokens: Tensor
    windows: tuple[int, int] | None


class Seen(NamedTuple):
    """One forward pass: the backbone's input (B, channels, H, W), and a record per stage and phase."""

    inputs: Tensor
    stages: list[Kept]


@contextmanager
def record_windows(model: nn.Module) -> Iterator[list[Seen]]:
    """Append the windows kept in every forward pass of ``model`` in the context to the yielded list.

    Args:
        model: a backbone of ours, or a classifier or detector that holds one.

    Raises:
        InputError: no backbone that can leave windows out, or one that keeps all.
    """
    backbones = [module for module in model.modules() if isinstance(module, SwinFamily)]
    if not backbones:
        raise InputError(f'{type(model).__name__} has no backbone that can leave windows out')
    if all(max(backbone.keep_threshold) == 0 and min(backbone.keep_windows) == 1 for backbone in backbones):
        raise InputError('the model keeps all windows: set model.backbone.keep_windows, e.g. to 0.6')
    seen: list[Seen] = []

    def begin(_: nn.Module, args: tuple) -> None:
        seen.append(Seen(args[0].detach(), []))

    def note(stage: int, block: SwinBlock, args: tuple) -> None:
        kept: KeptWindows | None = args[2] if len(args) > 2 else None
        x, grid = args[:2]
        seen[-1].stages.append(_record(stage, block.shift, len(x), grid, kept, x.device))

    with ExitStack() as hooks:
        hooks.enter_context(torch.compiler.set_stance('force_eager'))  # a compiled graph ignores new hooks
        for backbone in backbones:
            hooks.enter_context(backbone.register_forward_pre_hook(begin))
            for i, stage in enumerate(backbone.stages):
                phases: dict[Any, SwinBlock] = {}
                for block in stage.blocks:  # type: ignore[union-attr]
                    if isinstance(block, SwinBlock):
                        phases.setdefault(block.phase, block)  # its blocks have the same windows
                for block in phases.values():
                    hooks.enter_context(block.register_forward_pre_hook(lambda b, args, i=i: note(i, b, args)))
        yield seen


def _record(stage: int, shift: bool, batch: int, grid: Grid, kept: KeptWindows | None, device: torch.device) -> Kept:
    cells = grid.height * grid.width
    if kept is None:
        tokens = torch.ones(batch * cells + 1, dtype=torch.bool, device=device)
    else:
        tokens = torch.zeros(batch * cells + 1, dtype=torch.bool, device=device).index_fill(0, kept.tokens, True)
    counts = None if kept is None else (len(kept.windows), kept.count)
    return Kept(stage, shift, grid, tokens[:-1].view(batch, grid.height, grid.width), counts)


def draw_windows(seen: Seen, index: int = 0, mean: Tensor | None = None, std: Tensor | None = None) -> Figure:
    """Draw an image as the model sees it, and beside it each stage: darker where it computes less.

    A token that one phase of a stage leaves out is darker, one that both leave out is nearly black.

    Args:
        seen: one forward pass.
        index: of the image in its batch.
        mean: that was taken off the image, and ``std``: by which it was divided, (3, 1, 1) each.
        std: see ``mean``.
    """
    image = input_picture(seen.inputs[index], mean, std)
    height, width = image.shape[:2]
    stages = sorted({record.stage for record in seen.stages})
    figure = Figure(figsize=(2.8 * (1 + len(stages)), 2.8 * height / width + 0.5), layout='constrained')
    first, *others = figure.subplots(1, 1 + len(stages), squeeze=False)[0]
    first.imshow(image)
    first.set_title('input', fontsize=9)
    for axes, stage in zip(others, stages, strict=True):
        records = [record for record in seen.stages if record.stage == stage]
        axes.imshow(_darkened(image, records, index))
        axes.set_title(f'stage {stage}: {_share(records)}', fontsize=9)
    for axes in (first, *others):
        axes.set_axis_off()
    return figure


def save_windows(seen: list[Seen], model: Any, path: Path) -> None:
    """Write the picture of the last forward pass of a classifier or detector, and forget all passes."""
    steps = model.data_preprocessor
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_windows(seen[-1], 0, getattr(steps, 'mean', None), getattr(steps, 'std', None)).savefig(path, dpi=110)
    seen.clear()


def _darkened(image: np.ndarray, records: Sequence[Kept], index: int) -> np.ndarray:
    grid = records[0].grid
    rows, cols = grid.valid[index] if grid.valid is not None else (grid.height, grid.width)
    left_out = torch.stack([~record.tokens[index, :rows, :cols] for record in records]).float().mean(0)  # 0, 0.5, 1
    bright = torch.tensor(_DARK, device=left_out.device)[(2 * left_out).round().long()]
    height, width = image.shape[:2]
    # A token has the same number of pixels everywhere, but for the last row and column.
    y = torch.arange(height) * rows // height
    x = torch.arange(width) * cols // width
    return (image * bright.cpu()[y][:, x, None].numpy()).astype(np.uint8)


def _share(records: Sequence[Kept]) -> str:
    """Return how many windows of both phases are kept, in the whole batch."""
    counts = [record.windows for record in records if record.windows is not None]
    if not counts:
        return 'all windows'
    return f'{sum(kept for kept, _ in counts)} of {sum(total for _, total in counts)} windows'
