"""Where sparse and semantic tokens collect from, and which of them a place of the image asks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmsparseswin.analysis.attention_maps import Attention
from mmsparseswin.analysis.attention_views import attention_from
from mmsparseswin.errors import InputError
from mmsparseswin.layers.resize import resize_map
from mmsparseswin.layers.semantic_tokens import UNIT
from mmsparseswin.layers.sparse_stage import SparseStage


class SparseTokens:
    """The tokens of a :class:`SparseStage` for one image.

    A token is a sum over places, of a weight of the linear layer times the place's features. A place's share of a token
    is the absolute weight, or, with ``features``, that times the length of the features: what the place adds to it.

    Attributes:
        layout: rows and columns of a board of the tokens; they have no places in the image.
        places: height and width of the grid whose places ask tokens.
        by_place: False, because a token's number says nothing about where it is.
    """

    by_place = False

    def __init__(self, stage: SparseStage, records: Sequence[Attention], features: Tensor | None = None) -> None:
        tokens = next(r for r in records if r.kind == 'tokens')
        self._map = next((r for r in records if r.kind == 'map'), None)
        size = tokens.grid.height, tokens.grid.width
        shares = _rows(stage, size).detach().float().abs()
        if features is not None:
            lengths = resize_map(features.detach().float(), (shares.shape[1], shares.shape[2])).norm(dim=1)
            shares = shares * lengths
        self._shares = shares / shares.sum((1, 2), keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
        count = len(shares)
        columns = max(side for side in range(1, int(count**0.5) + 1) if count % side == 0)
        columns = count // columns if count // columns <= 3 * columns else int(count**0.5 + 0.999)
        self.layout = (-(-count // columns), columns)
        self.places = (self._map.grid.height, self._map.grid.width) if self._map else tokens.grid.coarser(2)[:2]

    def __len__(self) -> int:
        return len(self._shares)

    def collects(self, token: int) -> Tensor:
        """Return the share of each place in a token, (height, width); they sum to 1."""
        return self._shares[token]

    def asks(self, row: int, column: int) -> Tensor:
        """Return how much the place asks each token, (T,), the mean over heads; the sum is 1.

        Raises:
            InputError: the stage makes no map by attention.
        """
        if self._map is None:
            raise InputError(
                'no place asks tokens in this model: its tokens stay tokens, or an MLP makes the map of them '
                '(docs/models/sparse_swin.md)'
            )
        return self._map.weights[0, :, row * self.places[1] + column].float().mean(0)


class SemanticTokens:
    """The semantic tokens of one unit of STViT-R for one image.

    Attributes:
        layout: rows and columns of the tokens, which lie on a grid over the image.
        places: height and width of the image tokens, which ask them.
        by_place: True, because a token has a place.
    """

    by_place = True

    def __init__(self, collecting: Attention, asking: Attention) -> None:
        self._collecting, self._asking = collecting, asking
        self.layout = (collecting.grid.height, collecting.grid.width)
        self.places = (asking.grid.height, asking.grid.width)

    def __len__(self) -> int:
        return self.layout[0] * self.layout[1]

    def collects(self, token: int) -> Tensor:
        """Return the share of each image token in the attention of a semantic token, (height, width); the sum is 1."""
        heat = attention_from(self._collecting, *divmod(token, self.layout[1]))[0].float().mean(0)
        return heat / heat.sum().clamp(min=torch.finfo(heat.dtype).tiny)

    def asks(self, row: int, column: int) -> Tensor:
        """Return how much an image token asks each semantic token, (T,), the mean over heads; the sum is 1."""
        heat = attention_from(self._asking, row, column)[0].float().mean(0)
        if tuple(heat.shape) != self.layout:  # the keys are means of cells, each of which stands for its tokens
            heat = F.interpolate(heat[None, None], self.layout)[0, 0]
            heat = heat / heat.sum()
        return heat.flatten()


TokenView = SparseTokens | SemanticTokens


@contextmanager
def record_features(model: nn.Module) -> Iterator[list[Tensor]]:
    """Append the features (B, E, height, width) that sparse tokens are collected from, in every forward pass."""
    seen: list[Tensor] = []
    handles = [
        stage.convert.register_forward_hook(lambda _module, _args, out: seen.append(out.detach()))
        for stage in _sparse_stages(model)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def token_views(
    model: nn.Module, records: Sequence[Attention], features: Sequence[Tensor] = ()
) -> dict[str, TokenView]:
    """Return what can be seen of the tokens of a model, by a title of each view.

    Args:
        model: the model that was recorded.
        records: of one forward pass of one image.
        features: of :func:`record_features` in the same pass.

    Raises:
        InputError: the model has neither sparse nor semantic tokens.
    """
    views: dict[str, TokenView] = {}
    stages = _sparse_stages(model)
    if stages and any(r.kind == 'tokens' for r in records):
        make = partial(SparseTokens, stages[0], records)
        if features:
            views['what each place of this picture adds'] = make(features[-1][:1])
        views["the layer's weights, the same for every picture"] = make()
    semantic = {(r.stage, r.block): r for r in records if r.kind == 'semantic'}
    for stage, block in semantic:
        number = block % UNIT
        if number in (1, 2):
            where = 'around their windows' if number == 1 else 'farther'
            unit = f'stage {stage + 1}, unit {block // UNIT + 1}: block {block + 1} looks {where}'
            views[unit] = SemanticTokens(semantic[stage, block], semantic[stage, block - number + UNIT - 1])
    if not views:
        raise InputError(
            'this model has neither sparse tokens (SparseSwin) nor semantic ones (STViT-R); its attention is on the '
            'page Attention'
        )
    return views


def _sparse_stages(model: nn.Module) -> list[SparseStage]:
    return [module for module in model.modules() if isinstance(module, SparseStage)]


def _rows(stage: SparseStage, size: tuple[int, int]) -> Tensor:
    """Return the weights of every token over the whole image, (T, height, width)."""
    if stage.token_resize == 'weight':
        return stage.weight_at(size).unflatten(1, size)
    rows, columns = stage.tiles(*size)
    side = stage.grid_size
    one = stage.lin_t.weight.unflatten(1, (side, side))
    whole = one.new_zeros(rows, columns, len(one), rows, side, columns, side)
    for row in range(rows):
        for column in range(columns):
            whole[row, column, :, row, :, column] = one
    return whole.flatten(0, 2).flatten(1, 2).flatten(2)
