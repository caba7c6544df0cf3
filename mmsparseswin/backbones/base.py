"""Base class of all backbones: outputs, freezing, weights, and the protocol of the two libraries."""

import inspect
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmsparseswin.backbones.options import OUT_TYPES, full_signature, pick, reject_unknown
from mmsparseswin.checkpoints import LoadReport, load_pretrained
from mmsparseswin.checkpoints.architecture import Reading
from mmsparseswin.checkpoints.resizing import Resizing, resize_table
from mmsparseswin.errors import InputError
from mmsparseswin.hub.folders import save_pretrained
from mmsparseswin.layers.grid import Grid, split_valid_area
from mmsparseswin.layers.pre_norm import PreNormBlock
from mmsparseswin.registry import MODELS


class TokenBackbone(BaseModule):
    """Patch embedding and stages of tokens.

    A subclass builds ``patch_embed`` and ``stages`` (each ``(x, grid) -> (x, grid)`` with ``blocks`` and ``with_cp``),
    sets ``depths``, and then calls :meth:`finish`.

    Args:
        in_channels: channels of the image.
        out_type: 'featmap' (B, C, H, W) maps, 'avg_featmap' (B, C) pooled, 'raw' (B, N, C) tokens.
        frozen_stages: -1 nothing, 0 the patch embedding, k that and the first k stages.
        norm_eval: keep batch norms in eval mode while training.
        init_cfg: mmengine's; ``dict(type='Pretrained', checkpoint=...)`` takes weights of any known source.

    Attributes:
        arch_zoo: arch -> its settings.
        resizing: tensors of the state dict that are tied to a grid, see :mod:`mmsparseswin.checkpoints.resizing`.
        optional_parts: how names start that a file or the model may lack although the other has their stage.
        given_options: what the constructor was given, by name; see :meth:`save_pretrained`.
        depths: blocks of each stage.
        out_indices: stages whose output is returned.
        out_channels: channels of each output.
        out_strides: pixels per cell of each output map.

    Raises:
        InputError: an option or a value that does not exist; the message lists what does.
    """

    arch_zoo: dict[str, dict[str, Any]] = {}
    resizing: Resizing = {
        'relative_position_bias_table': (0, resize_table),
        'absolute_pos_embed': (1, resize_table),
    }
    optional_parts: tuple[str, ...] = ()

    patch_embed: nn.Module
    absolute_pos_embed: nn.Parameter | None
    stages: nn.ModuleList
    given_options: dict[str, Any]
    depths: tuple[int, ...]
    out_indices: tuple[int, ...]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let ``help`` and ``inspect.signature`` list all options, also those that go to a base class."""
        super().__init_subclass__(**kwargs)
        cls.__signature__ = full_signature(cls)

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Refuse unknown options before ``__init__`` runs, and keep the known ones."""
        reject_unknown(cls, options)
        model = super().__new__(cls)
        model.given_options = deepcopy(dict(inspect.signature(cls).bind_partial(*args, **options).arguments))
        return model

    def __init__(
        self,
        in_channels: int = 3,
        out_type: str = 'featmap',
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.in_channels, self.out_type = in_channels, pick('out_type', out_type, OUT_TYPES)
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        self.absolute_pos_embed = None

    def finish(
        self, channels: Sequence[int], strides: Sequence[int], norms: Sequence[nn.Module | None], with_cp: bool | str
    ) -> None:
        """Name the output norms ``norm{i}``, freeze, and set gradient checkpointing: the last step of construction.

        Args:
            channels: of each output, as ``strides`` and ``norms``.
            strides: pixels per cell.
            norms: norm of an output; None for no norm.
            with_cp: see :meth:`set_grad_checkpointing`.
        """
        self.out_channels, self.out_strides = tuple(channels), tuple(strides)
        for i, norm in zip(self.out_indices, norms, strict=True):
            if norm is not None:
                self.add_module(f'norm{i}', norm)
        self._freeze()
        self.set_grad_checkpointing(with_cp)

    @classmethod
    def models(cls) -> dict[str, dict[str, Any]]:
        """Return name -> options of the published models, for :func:`mmsparseswin.create_model`."""
        return {f'{cls.__name__.lower()}-{arch}': {'arch': arch} for arch in cls.arch_zoo}

    @classmethod
    def read_options(cls, tensors: Mapping[str, Tensor]) -> Reading | None:
        """Read the options of this backbone off its state dict (our names), or return None if it is another's.

        Only this makes weights convertible (:func:`mmsparseswin.checkpoints.convert`). Whoever reads need not check
        more than it needs: the model of these options is built, and its names and shapes are compared.

        Raises:
            InputError: a tensor that tells an option is missing, or tells an impossible one.
        """
        return None

    def adapt_weights(self, tensors: Mapping[str, Tensor], report: LoadReport) -> Mapping[str, Tensor]:
        """Turn weights of a related backbone (our names) into a start for this one, and report what is left out."""
        return tensors

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Run the backbone.

        Args:
            x: (B, in_channels, H, W), any H and W; or with one channel more that marks the valid area
                (:func:`mmsparseswin.layers.grid.split_valid_area`), and then padding does not change a valid output.

        Returns:
            One tensor per output: 'featmap' (B, C, H / stride, W / stride), rounded up and zero on padding;
            'avg_featmap' (B, C); 'raw' (B, N, C).
        """
        image, pixels = split_valid_area(x, self.in_channels)
        tokens, grid = self._embed(image, pixels)
        outs = []
        for i, stage in enumerate(self.stages):
            tokens, grid = stage(tokens, grid)
            if i in self.out_indices:
                outs.append(self._output(i, tokens, grid))
        return tuple(outs)

    def forward_intermediates(
        self, x: Tensor, indices: Sequence[int] | None = None, norm: bool = False
    ) -> list[Tensor]:
        """Return the outputs of single blocks; stages after the last of them do not run.

        Args:
            x: as for :meth:`forward`.
            indices: blocks, counted through all stages from 0 (negative ones from the end); None for all.
            norm: apply the norm that follows the last block of the stage.

        Returns:
            One tensor per index, in the order of ``indices``: maps (B, C, height, width), zero on padding, or tokens
            (B, T, E) after a token block of SparseSwin.

        Raises:
            InputError: no such block, or a stage that was built without a norm.
        """
        blocks = [(i, block) for i, stage in enumerate(self.stages) for block in stage.blocks]  # type: ignore
        wanted = list(range(len(blocks)) if indices is None else indices)
        if not wanted or any(not -len(blocks) <= index < len(blocks) for index in wanted):
            raise InputError(f'indices {wanted}: name some of the {len(blocks)} blocks, 0 to {len(blocks) - 1}')
        chosen = [blocks[index] for index in wanted]
        norms = [getattr(self.stages[i], 'norm', None) or getattr(self, f'norm{i}', None) for i, _ in chosen]
        if norm and None in norms:
            bare = chosen[norms.index(None)][0]
            raise InputError(f"stage {bare} has no norm: build with out_type='featmap', or take norm=False")
        found: dict[nn.Module, list[Tensor]] = {block: [] for _, block in chosen}
        grids: dict[nn.Module, Grid] = {}

        def keep(block: nn.Module, args: tuple, out: Any) -> None:
            if isinstance(out, Tensor):
                grids[block] = args[1]
            else:  # a token block: it returns weights too, and runs once per image where valid sizes differ
                out = out[0]
            found[block].append(out)

        with ExitStack() as hooks:
            hooks.enter_context(torch.compiler.set_stance('force_eager'))  # a compiled graph does not run new hooks
            for block in found:
                hooks.enter_context(block.register_forward_hook(keep))
            tokens, grid = self._embed(*split_valid_area(x, self.in_channels))
            for stage in self.stages[: max(i for i, _ in chosen) + 1]:
                tokens, grid = stage(tokens, grid)
        outs = []
        for (_, block), layer_norm in zip(chosen, norms, strict=True):
            tokens = torch.cat(found[block])
            tokens = layer_norm(tokens) if norm and layer_norm is not None else tokens
            outs.append(grids[block].to_map(tokens) if block in grids else tokens)
        return outs

    def _embed(self, image: Tensor, pixels: Grid) -> tuple[Tensor, Grid]:
        return self.patch_embed(image, pixels)

    def _output(self, index: int, x: Tensor, grid: Grid | None) -> Tensor:
        norm = getattr(self, f'norm{index}', None)
        if norm is not None:
            x = norm(x)
        if self.out_type == 'featmap':
            assert grid is not None
            return grid.to_map(x)
        if grid is not None:
            x = grid.keep_valid(x)
        if self.out_type == 'raw':
            return x
        if grid is None or grid.valid is None:
            return x.mean(1)
        return x.sum(1) / x.new_tensor([[h * w] for h, w in grid.valid])

    def init_weights(self) -> None:
        """Load ``init_cfg=dict(type='Pretrained', checkpoint=...)`` from any known source, and log what was loaded.

        Other weights were drawn as published when the module was built.

        Raises:
            InputError: nothing in the file fits, or a tensor cannot be resized.
        """
        cfg = self.init_cfg
        if isinstance(cfg, dict) and cfg.get('type') == 'Pretrained':
            report = load_pretrained(self, cfg['checkpoint'], cfg.get('prefix'))
            print_log(f'{type(self).__name__} from {cfg["checkpoint"]}\n{report}', logger='current')
            self._is_init = True
        else:
            super().init_weights()

    def save_pretrained(self, folder: str | os.PathLike, license: str | None = None) -> Path:
        """Save options and weights in a folder that :func:`mmsparseswin.from_pretrained` takes; return the folder."""
        return save_pretrained(self, folder, license=license)

    def train(self, mode: bool = True) -> 'TokenBackbone':
        """Set the mode, keep frozen stages (and batch norms under ``norm_eval``) in eval mode, and return self."""
        super().train(mode)
        self._freeze()
        if mode and self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def _freeze(self) -> None:
        """``frozen_stages``: -1 nothing, 0 the patch embedding, k that and the first k stages with their norms."""
        if self.frozen_stages < 0:
            return
        frozen: list[nn.Module] = [self.patch_embed, *self.stages[: self.frozen_stages]]
        frozen += [m for i in range(self.frozen_stages) if (m := getattr(self, f'norm{i}', None)) is not None]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)
        if self.absolute_pos_embed is not None:
            self.absolute_pos_embed.requires_grad_(False)

    def set_grad_checkpointing(self, enable: bool | str = True) -> None:
        """Keep less for the backward pass and compute it again there.

        Args:
            enable: True keeps the input of each block alone; 'light' leaves out what is cheap to have again, layer
                norms, gathered windows and GELUs, and keeps the matrix products; False keeps everything.

        Raises:
            InputError: another value.
        """
        if enable not in (True, False, 'light'):
            raise InputError(f"with_cp {enable!r} is unknown; choose True, False or 'light'")
        for stage in self.stages:
            stage.with_cp = enable is True  # type: ignore[assignment]
        for module in self.modules():
            if isinstance(module, PreNormBlock):
                module.light = enable == 'light'

    def no_weight_decay(self) -> set[str]:
        """Return the parameters that must not decay: vectors and tables (docs/models/swin.md, 'Block and stages')."""
        return {
            name
            for name, p in self.named_parameters()
            if p.dim() <= 1 or 'relative_position_bias_table' in name or 'absolute_pos_embed' in name
        }

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter for layer-wise learning rates, and the number of depths.

        Depth 0 is the patch embedding, the last depth is everything after the last block.
        """
        count = sum(self.depths) + 2
        if not param_name.startswith(prefix):
            return count - 1, count
        parts = param_name[len(prefix) :].split('.')
        if parts[0] in ('patch_embed', 'absolute_pos_embed'):
            return 0, count
        if parts[0] != 'stages':
            return count - 1, count
        before = sum(self.depths[: int(parts[1])])
        if parts[2] == 'blocks':
            return before + int(parts[3]) + 1, count
        return (before if parts[2] == 'downsample' else before + self.depths[int(parts[1])]), count


def is_backbone(cfg: dict[str, Any]) -> bool:
    """Return True if ``cfg`` is the config of a backbone of ours, by its bare or its scoped name."""
    kind = MODELS.get(str(cfg.get('type')).removeprefix('mmsparseswin.'))
    return isinstance(kind, type) and issubclass(kind, TokenBackbone)
