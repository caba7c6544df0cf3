"""Build a Swin with maps taken after patch merging, Swin-T-A of docs/models/ssd.md, 'Backbones'."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from mmsparseswin.backbones.swin import Swin
from mmsparseswin.layers.grid import split_valid_area
from mmsparseswin.layers.swin_block import SwinStage
from mmsparseswin.registry import MODELS


@MODELS.register_module()
class MergedSwin(Swin):
    """Swin that returns the inputs of the blocks of a stage instead of their outputs.

    The parameter names are Swin's; the blocks of the last stage in ``out_indices`` would change no output and are not
    built.

    Args:
        arch: as for :class:`Swin`.
        out_indices: stages whose input is returned, after the patch merging that begins them.
        output_norm: layer norm on each output; published: none.
        **swin: every other option of :class:`Swin`.
    """

    def __init__(
        self,
        arch: str | dict = 'tiny',
        out_indices: Sequence[int] = (1, 2, 3),
        output_norm: bool = False,
        **swin: Any,
    ) -> None:
        super().__init__(arch, out_indices=out_indices, output_norm=output_norm, **swin)

    def _make_stage(self, i: int, stage: Callable[..., nn.Module] = SwinStage) -> nn.Module:
        if i < self.out_indices[-1]:
            return super()._make_stage(i, stage)
        return SwinStage([], self._make_merging(i) if i else None)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run :meth:`Swin.forward` with the outputs taken before the blocks of their stages."""
        image, pixels = split_valid_area(x, self.in_channels)
        tokens, grid = self._embed(image, pixels)
        outs = []
        for i, stage in enumerate(self.stages):
            if stage.downsample is not None:
                tokens, grid = stage.downsample(tokens, grid)  # type: ignore[operator]
            if i in self.out_indices:
                outs.append(self._output(i, tokens, grid))
            tokens = stage.run_blocks(tokens, grid)  # type: ignore[operator]
        return tuple(outs)
