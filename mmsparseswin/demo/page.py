"""Layout of the page, and which function answers which event.

What a user shows is a `gr.State`, which gradio keeps apart by session; the functions keep nothing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from mmsparseswin.demo import attention_page, token_page
from mmsparseswin.demo.actions import Actions, Shown
from mmsparseswin.demo.compare_tab import lay_compare
from mmsparseswin.demo.models import LOWEST
from mmsparseswin.demo.video_tab import lay_video
from mmsparseswin.demo.words import as_words, in_words
from mmsparseswin.errors import InputError

THEME = gr.themes.Default(
    primary_hue='teal',
    neutral_hue='slate',
    font=['system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'Liberation Sans', 'DejaVu Sans', 'sans-serif'],
    font_mono=['ui-monospace', 'Liberation Mono', 'DejaVu Sans Mono', 'monospace'],
)
CSS = """
.prose table.found { border: 0; border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
.prose table.found :is(th, td) { text-align: left; padding: 4px 12px 4px 0; border: 0 solid var(--border-color-primary) }
.prose table.found tr { border: 0 }
.prose table.found :is(th, td) { border-bottom-width: 1px }
.prose table.found th { font-weight: 600 }
#samples .grid-wrap { min-height: 0 }
#samples .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) }
#measured table.found td:first-child { white-space: nowrap }
.said p { margin: 4px 0 }
.refused p { color: #b91c1c } .dark .refused p { color: #fca5a5 }
"""  # noqa: E501 -- a rule per line
_START = 0.3  # threshold
_TABS = ('Predictions', 'Tokens', 'Attention')
_RECEIVED, _LOOKS = 'that each place receives', 'of the clicked place'


class Page:
    """The page over `actions`; `samples` are pictures to choose from. :attr:`blocks` is gradio's object."""

    def __init__(self, actions: Actions, samples: Sequence[Path]) -> None:
        self._actions, self._samples = actions, list(samples)
        with gr.Blocks(title='MMSparseSwin', analytics_enabled=False, delete_cache=(300, 1800)) as self.blocks:
            self._shown, self._tab = gr.State(None), gr.State(_TABS[0])
            gr.Markdown('# MMSparseSwin\nDrop a picture, and see what the model finds and what its tokens look at.')
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    self._lay_inputs()
                with gr.Column(scale=3, min_width=320), gr.Tabs():
                    self._tabs = []
                    for name, lay in zip(
                        _TABS, (self._lay_predictions, self._lay_tokens, self._lay_attention), strict=True
                    ):
                        with gr.Tab(name, id=name) as tab:
                            lay()
                        self._tabs.append(tab)
                    with gr.Tab('Compare'):
                        lay_compare(actions, self._shown, self._score)
                    with gr.Tab('Video'):
                        lay_video(actions, self._model, self._score)
            self._wire()
            self.blocks.queue(max_size=64, default_concurrency_limit=4)

    def _lay_inputs(self) -> None:
        self._picture = gr.Image(
            type='filepath',
            sources=['upload', 'clipboard'],
            label='Picture',
            height=280,
            buttons=[],
            placeholder='Drop a picture here',
            elem_id='picture',
        )
        # The path alone: what cannot be read is refused by our own words.
        vars(self._picture)['preprocess'] = lambda given: None if given is None else given.path
        self._refused = gr.Markdown(elem_classes=['said', 'refused'], elem_id='refused', container=False)
        names = self._actions.models.names
        self._model = gr.Dropdown(names, value=names[0], label='Model', visible=len(names) > 1, elem_id='model')
        self._score = gr.Slider(LOWEST, 1, _START, step=0.01, label='Least score', elem_id='score')
        if self._samples:
            gr.Markdown('Or choose one of these:', elem_classes='said')
        self._gallery = gr.Gallery(
            show_label=False,
            columns=4,
            height='auto',
            allow_preview=False,
            object_fit='cover',
            visible=bool(self._samples),
            elem_id='samples',
            buttons=[],
        )

    def _lay_predictions(self) -> None:
        self._drawn = _result('drawn', ['download', 'fullscreen'])
        self._table = gr.HTML('<p>Choose a picture first.</p>', elem_id='table')
        self._file = gr.DownloadButton('Download as JSON', interactive=False, elem_id='json')

    def _lay_tokens(self) -> None:
        self._view = gr.Dropdown([], label='Shown', elem_id='view')
        self._token_text = gr.Markdown('Choose a picture first.', elem_classes='said', elem_id='token-text')
        with gr.Row():
            with gr.Column(min_width=240):
                gr.Markdown('Picture as the model sees it: click a place', elem_classes='said')
                self._place_picture = _result('place', [])
            with gr.Column(min_width=240):
                gr.Markdown('Tokens: click one', elem_classes='said')
                self._board = _result('board', [])
        self._click = gr.State(None)

    def _lay_attention(self) -> None:
        self._block = gr.Dropdown([], label='Block', elem_id='block')
        with gr.Row():
            self._head = gr.Slider(0, 1, 0, step=1, label='Head (0: the mean)', min_width=200, elem_id='head')
            self._way = gr.Radio([_LOOKS, _RECEIVED], value=_LOOKS, label='Attention', min_width=260, elem_id='way')
        self._attention_text = gr.Markdown('Choose a picture first.', elem_classes='said', elem_id='attention-text')
        self._attention = _result('attention', ['fullscreen'])
        self._place = gr.State(None)

    def _wire(self) -> None:
        quiet: dict[str, Any] = dict(api_visibility='private', show_progress='hidden')
        slow: dict[str, Any] = dict(api_visibility='private', show_progress='minimal')
        found = [self._shown, self._drawn, self._table, self._file, self._refused, self._click, self._place]
        tokens = [self._view, self._place_picture, self._board, self._token_text]
        attention = [self._block, self._head, self._attention, self._attention_text]
        seen = [self._shown, self._view, self._click]
        looked = [self._shown, self._block, self._head, self._way, self._place]
        opened = ([self._tab, *seen, *looked[1:]], [*tokens, *attention])
        for event in (self._picture.change, self._model.input):
            done = event(self._given, [self._picture, self._model, self._score], found, **slow)
            done.then(in_words(self._open), *opened, **slow)
        for name, tab in zip(_TABS, self._tabs, strict=True):
            chosen = tab.select(lambda name=name: name, None, self._tab, **quiet)
            chosen.then(in_words(self._open), *opened, **slow)
        redrawn = [self._drawn, self._table, self._file]
        self._score.change(
            in_words(self._redraw), [self._shown, self._score], redrawn, trigger_mode='always_last', **quiet
        )
        for part, function in ((self._place_picture, self._click_picture), (self._board, self._click_board)):
            part.select(in_words(function), seen, [self._click, *tokens], **quiet)
        self._view.input(in_words(self._tokens), seen, tokens, **quiet)
        for control in (self._block, self._head, self._way):
            control.input(in_words(self._attend), looked, attention, trigger_mode='always_last', **quiet)
        self._attention.select(in_words(self._click_attention), looked, [self._place, *attention], **quiet)
        if self._samples:
            self.blocks.load(lambda: [str(path) for path in self._samples], None, self._gallery, **quiet)
            self._gallery.select(self._sample, None, self._picture, **quiet)
        self.blocks.unload(self._forget)

    def _given(self, path: str | None, model: str, score: float, request: gr.Request) -> tuple:
        """Predict a picture; if it is refused, show why, and nothing of the picture before."""
        nothing = (None, None, '<p>Choose a picture first.</p>', gr.DownloadButton(value=None, interactive=False))
        if path is None:
            return *nothing, '', None, None
        try:
            shown = self._actions.predict(Path(path), model, request.session_hash)
            return shown, *self._redraw(shown, score, request), '', None, None
        except Exception as error:
            return *nothing, as_words(error), None, None

    def _redraw(self, shown: Shown | None, score: float, request: gr.Request) -> tuple:
        if shown is None:
            return gr.skip(), gr.skip(), gr.skip()
        drawn, table, file = self._actions.draw(shown, score, request.session_hash)
        return drawn, table, gr.DownloadButton(value=str(file), interactive=True)

    def _open(
        self, tab: str, shown: Shown | None, view: str, click: Any, block: str, head: int, way: str, place: Any
    ) -> tuple:
        """Fill the page that is open; the others wait until they are, because they need another pass of the model."""
        left = (gr.skip(),) * 4
        if tab == _TABS[1]:
            return *self._tokens(shown, view, click), *left
        if tab == _TABS[2]:
            return *left, *self._attend(shown, block, head, way, place)
        return *left, *left

    def _tokens(self, shown: Shown | None, view: str, click: token_page.Click | None) -> tuple:
        if shown is None:
            return gr.Dropdown([], value=None), None, None, 'Choose a picture first.'
        try:
            look = self._actions.look(shown)
            name = view if view in look.tokens else next(iter(look.tokens), None)
            picture, board, text = token_page.show(look, name, click)
        except InputError as error:
            return gr.Dropdown([], value=None), None, None, as_words(error)
        return gr.Dropdown(list(look.tokens), value=name), picture, board, text

    def _click_picture(
        self, shown: Shown | None, view: str, click: token_page.Click | None, event: gr.SelectData
    ) -> tuple:
        if shown is None:
            return click, *self._tokens(None, view, None)
        click = token_page.click_picture(self._actions.look(shown), view, _at(event))
        return click, *self._tokens(shown, view, click)

    def _click_board(
        self, shown: Shown | None, view: str, click: token_page.Click | None, event: gr.SelectData
    ) -> tuple:
        if shown is None:
            return click, *self._tokens(None, view, None)
        click = token_page.click_board(self._actions.look(shown), view, _at(event))
        return click, *self._tokens(shown, view, click)

    def _attend(
        self, shown: Shown | None, block: str, head: int, way: str, place: attention_page.Place | None
    ) -> tuple:
        if shown is None:
            return gr.Dropdown([], value=None), gr.skip(), None, 'Choose a picture first.'
        try:
            look = self._actions.look(shown)
        except InputError as error:
            return gr.Dropdown([], value=None), gr.skip(), None, as_words(error)
        names = attention_page.block_names(look)
        block = block if block in names else attention_page.first_block(look)
        heads = attention_page.count_heads(look, block)
        head = min(int(head), heads)
        picture, text = attention_page.show(look, block, head, way == _RECEIVED, place)
        return gr.Dropdown(names, value=block), gr.Slider(maximum=heads, value=head), picture, text

    def _click_attention(
        self,
        shown: Shown | None,
        block: str,
        head: int,
        way: str,
        place: attention_page.Place | None,
        event: gr.SelectData,
    ) -> tuple:
        if shown is not None:
            place = attention_page.click(self._actions.look(shown), _at(event))
        return place, *self._attend(shown, block, head, way, place)

    def _sample(self, event: gr.SelectData) -> str:
        return str(self._samples[event.index])

    def _forget(self, request: gr.Request) -> None:
        self._actions.forget(request.session_hash)


def _result(name: str, buttons: list) -> gr.Image:
    return gr.Image(show_label=False, interactive=False, format='png', buttons=buttons, elem_id=name)


def _at(event: gr.SelectData) -> tuple[float, float]:
    x, y = event.index
    return float(x), float(y)
