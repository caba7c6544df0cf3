"""What the page of tokens shows: the picture, a board of tokens, and a sentence, for each click."""

from PIL import Image
from torch import Tensor, arange

from mmsparseswin.analysis.token_views import TokenView
from mmsparseswin.demo import pictures
from mmsparseswin.demo.models import Look
from mmsparseswin.errors import InputError

Click = tuple[str, int, int]  # ('token', number, 0) or ('place', row, column)


def find_view(look: Look, name: str | None) -> TokenView:
    """Return a view by its name, without such a name the first.

    Raises:
        InputError: the model has no sparse or semantic tokens.
    """
    if not look.tokens:
        raise InputError(look.reason)
    return look.tokens.get(name or '') or next(iter(look.tokens.values()))


def click_picture(look: Look, view: str | None, at: tuple[float, float]) -> Click:
    """Return the place of the picture that a click (x, y) means."""
    tokens = find_view(look, view)
    row, column = pictures.clicked_cell(at, pictures.shown_size(look.picture), tokens.places)
    return ('place', row, column)


def click_board(look: Look, view: str | None, at: tuple[float, float]) -> Click:
    """Return the token that a click (x, y) on the board means."""
    tokens = find_view(look, view)
    row, column = pictures.clicked_cell(at, _board(look, tokens).size, tokens.layout)
    return ('token', min(row * tokens.layout[1] + column, len(tokens) - 1), 0)


def show(look: Look, view: str | None, click: Click | None) -> tuple[Image.Image, Image.Image, str]:
    """Return the picture, the board, and what they show.

    Args:
        look: of the model at the picture.
        view: name of a view.
        click: the last one; of another picture or view it may be outside, and is passed over then.

    Raises:
        InputError: the model has no tokens.
    """
    tokens = find_view(look, view)
    kind, first, second = click or ('none', 0, 0)
    if kind == 'token' and first < len(tokens):
        heat = tokens.collects(first)
        row, column = divmod(int(heat.argmax()), heat.shape[1])
        text = (
            f'**Token {first + 1} of {len(tokens)}** collects most from row {row + 1}, column {column + 1} of '
            f'{heat.shape[0]} x {heat.shape[1]}: {100 * float(heat.max()):.1f} %. An even share would be '
            f'{100 / heat.numel():.1f} %.'
        )
        return pictures.draw_heat(look.picture, heat), _board(look, tokens, chosen=first), text
    plain = pictures.draw_heat(look.picture, None)
    if kind == 'place' and first < tokens.places[0] and second < tokens.places[1]:
        marked = pictures.mark_cell(plain, tokens.places, (first, second))
        try:
            shares = tokens.asks(first, second)
        except InputError as error:
            return marked, _board(look, tokens), str(error)
        best = int(shares.argmax())
        text = (
            f'**The marked place** asks token {best + 1} most: {100 * float(shares[best]):.1f} % of its attention. '
            f'An even share would be {100 / len(tokens):.1f} %.'
        )
        return marked, _board(look, tokens, shares), text
    text = (
        f'Click one of the {len(tokens)} tokens to see where it collects from, or a place of the picture to see which '
        'tokens it asks.'
    )
    return plain, _board(look, tokens), text


def _board(look: Look, tokens: TokenView, shares: Tensor | None = None, chosen: int | None = None) -> Image.Image:
    if not tokens.by_place:
        heats = [tokens.collects(index) for index in range(len(tokens))]
        return pictures.draw_board(heats, tokens.layout[1], shares, chosen)
    board = pictures.draw_heat(look.picture, None if shares is None else shares.view(tokens.layout))
    board = pictures.draw_windows(board, arange(len(tokens)).view(tokens.layout))
    return board if chosen is None else pictures.mark_cell(board, tokens.layout, divmod(chosen, tokens.layout[1]))
