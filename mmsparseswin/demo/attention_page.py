"""What the page of attention shows: any block and head over the picture, and windows."""

from PIL import Image
from torch import Tensor, zeros

from mmsparseswin.analysis.attention_maps import Attention
from mmsparseswin.analysis.attention_views import attention_from, attention_received, window_numbers
from mmsparseswin.demo import pictures
from mmsparseswin.demo.models import Look

Place = tuple[float, float]  # (x, y) from 0 to 1, whatever the grid of a block
_KINDS = {
    'window': 'image tokens in windows',
    'semantic': 'semantic tokens',
    'tokens': 'sparse tokens among themselves',
    'map': 'image tokens ask sparse tokens',
}


def block_names(look: Look) -> list[str]:
    """Return the names of the blocks whose attention was recorded."""
    return [_name(record) for record in look.records]


def first_block(look: Look) -> str:
    """Return the name of the block to begin with: the last one whose image tokens look at each other."""
    return _name(next((record for record in reversed(look.records) if record.kind == 'window'), look.records[0]))


def find_block(look: Look, name: str | None) -> Attention:
    """Return the attention of a block by its name, without such a name of the first."""
    return next((record for record in look.records if _name(record) == name), look.records[0])


def count_heads(look: Look, name: str | None) -> int:
    """Return the number of heads of a block."""
    return find_block(look, name).weights.shape[1]


def click(look: Look, at: tuple[float, float]) -> Place:
    """Return the place under a click (x, y) on the picture."""
    width, height = pictures.shown_size(look.picture)
    return at[0] / width, at[1] / height


def show(look: Look, block: str | None, head: int, received: bool, place: Place | None) -> tuple[Image.Image, str]:
    """Draw the attention of one block over the picture, and say what it shows.

    Args:
        look: of the model at the picture.
        block: its name.
        head: counted from 1; 0 is the mean over heads.
        received: what each place receives; else what one place looks at.
        place: that one; None takes the middle.
    """
    record = find_block(look, block)
    heads = record.weights.shape[1]
    of = f'head {head} of {heads}' if 0 < head <= heads else f'mean of {heads} heads'
    if record.kind == 'tokens':
        matrix = _one_head(record.weights[0], head)
        text = f'Row: the token that looks. Column: the token it looks at. They have no place in the picture; {of}.'
        return pictures.draw_matrix(matrix), text
    grid = (record.grid.height, record.grid.width)
    cell = None if received else pictures.clicked_cell(place or (0.5, 0.5), (1, 1), grid)
    if record.kind == 'map':
        heat, text = _through_tokens(look, record, cell, head)
    elif cell is None:
        heat, text = _one_head(attention_received(record)[0], head), 'What each place receives'
    else:
        heat, text = _one_head(attention_from(record, *cell)[0], head), 'What the marked place looks at'
    if record.window is None:
        picture = pictures.draw_heat(look.picture, heat)
    else:
        numbers = window_numbers(record)
        left_out = None if record.kept is None else ~record.kept[0].cpu()[numbers.cpu()]
        picture = pictures.draw_windows(pictures.draw_heat(look.picture, heat, left_out), numbers)
        text += f', in windows of {record.window[0]} x {record.window[1]} tokens'
        if record.kept is not None:
            text += f' ({int(record.kept[0].sum())} of {record.kept.shape[1]} are computed, the dark ones are left out)'
    return (picture if cell is None else pictures.mark_cell(picture, grid, cell)), f'{text}; {of}.'


def _through_tokens(
    look: Look, record: Attention, cell: tuple[int, int] | None, head: int
) -> tuple[Tensor | None, str]:
    """Return where the sparse tokens collect from that a place asks, or that all places ask."""
    weights = _one_head(record.weights[0], head)  # (N, T)
    shares = weights.mean(0) if cell is None else weights[cell[0] * record.grid.width + cell[1]]
    tokens = next(iter(look.tokens.values()))
    heat = zeros(tokens.collects(0).shape)
    for index, share in enumerate(shares.tolist()):
        heat += share * tokens.collects(index)
    return heat, f'Where the tokens collect from that {"all places ask" if cell is None else "the marked place asks"}'


def _one_head(weights: Tensor, head: int) -> Tensor:
    return weights[head - 1] if 0 < head <= len(weights) else weights.mean(0)


def _name(record: Attention) -> str:
    shifted = ', shifted' if record.shift else ''
    return f'stage {record.stage + 1}, block {record.block + 1}: {_KINDS[record.kind]}{shifted}'
