"""Assign a token to every row and column of attention weights."""

from typing import NamedTuple

import torch
from torch import Tensor

from mmsparseswin.layers.grid import Grid
from mmsparseswin.layers.neighbourhoods import Neighbourhood
from mmsparseswin.layers.windows import WindowPlan


class Slots(NamedTuple):
    """Attention weights of windows with the query and key token of each slot."""

    queries: Tensor  # (windows, area) token of each slot, `size[0]` on padding
    keys: Tensor  # (windows, K) token of each slot, `size[1]` on padding
    weights: Tensor  # (B, heads, windows, area, K)
    size: tuple[int, int]  # query tokens, key tokens


def window_slots(plan: WindowPlan, weights: Tensor, grid: Grid) -> Slots:
    """Return the slots of Swin's windows; weights of padding and between regions, about e**-100, are set to 0."""
    count, area = grid.height * grid.width, weights.shape[-1]
    tokens = plan.gather.view(-1, area)[plan.order]
    inside = tokens < count
    seen = inside[:, :, None] & inside[:, None]
    if plan.mask is not None:  # the mask covers the last windows of the plan
        masks = plan.mask.new_zeros(len(tokens), area, area)
        masks[-len(plan.mask) :] = plan.mask
        seen &= masks[plan.order] == 0
    weights = weights.unflatten(0, (-1, len(tokens))).transpose(1, 2)  # (B, heads, windows, area, area)
    return Slots(tokens, tokens, _scaled(weights * seen), (count, count))


def neighbourhood_slots(neighbourhood: Neighbourhood, weights: Tensor) -> Slots:
    """Return the slots of a neighbourhood of STViT-R; a query of several slots keeps one of them."""
    looking = neighbourhood.query_map.height * neighbourhood.query_map.width
    seen = sum(grid.height * grid.width for grid in neighbourhood.key_maps)
    queries, keys = (torch.arange(n, device=weights.device)[None] for n in (looking, seen))
    if neighbourhood.inverse is None or neighbourhood.keys is None:
        return Slots(queries, keys, weights[:, :, None], (looking, seen))
    keys = neighbourhood.keys.view(neighbourhood.windows, -1)
    places = torch.full((neighbourhood.windows * weights.shape[-2],), looking, device=weights.device)
    places[neighbourhood.inverse] = queries[0]
    weights = weights.unflatten(0, (-1, neighbourhood.windows)).transpose(1, 2) * (keys < seen)[:, None]
    return Slots(places.view(neighbourhood.windows, -1), keys, _scaled(weights), (looking, seen))


def dense(slots: Slots) -> Tensor:
    """Return dense weights (B, heads, queries, keys), 0 for pairs that share no window."""
    looking, seen = slots.size
    place = slots.queries[:, :, None] * (seen + 1) + slots.keys[:, None]  # padding has the last row and column
    flat = slots.weights.new_zeros(*slots.weights.shape[:2], (looking + 1) * (seen + 1))
    flat = flat.index_add(2, place.flatten(), slots.weights.flatten(2))
    return flat.unflatten(2, (looking + 1, seen + 1))[:, :, :-1, :-1]


def _scaled(weights: Tensor) -> Tensor:
    """Remove the weights of padding and scale every row to the sum 1 again."""
    return weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
