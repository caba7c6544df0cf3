"""Part of the page that shows two models, or one with fewer windows, side by side."""

from typing import Any

import gradio as gr

from mmsparseswin.demo import pictures
from mmsparseswin.demo.actions import Actions, Shown
from mmsparseswin.demo.measured import TURNS, Measured, compare
from mmsparseswin.demo.words import in_words
from mmsparseswin.errors import InputError

_QUIET: dict[str, Any] = dict(api_visibility='private')


def lay_compare(actions: Actions, shown: gr.State, score: gr.Slider) -> None:
    """Lay out the part, and answer its events.

    Args:
        actions: the functions behind the page.
        shown: what the session shows.
        score: threshold of predictions.
    """
    names = actions.models.names
    sides = []
    with gr.Row():
        for index, name in enumerate((names[0], names[-1])):
            with gr.Column(min_width=240):
                model = gr.Dropdown(names, value=name, label=f'Model {index + 1}', elem_id=f'model-{index + 1}')
                share = gr.Slider(
                    0.1,
                    1,
                    1,
                    step=0.05,
                    label='Share of windows',
                    info='1 leaves the model as it is.',
                    elem_id=f'share-{index + 1}',
                )
                sides.append((model, share))
    button = gr.Button('Compare on the picture', variant='primary', elem_id='compare')
    with gr.Row():
        drawn = [
            gr.Image(show_label=False, interactive=False, format='png', buttons=['fullscreen'], elem_id=f'side-{index}')
            for index in (1, 2)
        ]
    table = gr.HTML(elem_id='measured')

    def measure(current: Shown | None, threshold: float, *settings: Any) -> tuple:
        if current is None:
            raise InputError('nothing to compare: choose a picture first')
        pairs = [(str(settings[0]), float(settings[1])), (str(settings[2]), float(settings[3]))]
        found = compare(actions.models, pairs, current.path)
        return *(pictures.draw_result(one.result.above(threshold)) for one in found), _table(found, threshold)

    inputs = [shown, score, *(part for side in sides for part in side)]
    button.click(in_words(measure), inputs, [*drawn, table], **_QUIET)


def _table(found: list[Measured], threshold: float) -> str:
    """Return the measurements as an HTML table, and the second as a ratio of the first."""
    first, second = found
    rows = [
        (f'Milliseconds, median of {TURNS}', [1000 * one.seconds for one in found], '.0f'),
        ('GMACs of the network', [one.macs / 1e9 for one in found], '.2f'),
        ('GMACs of its backbone', [one.backbone / 1e9 for one in found], '.3f'),
        ('Parameters in millions', [one.params / 1e6 for one in found], '.2f'),
    ]
    lines = [
        f'<tr><td>{name}</td><td>{left:{digits}}</td><td>{right:{digits}}</td>'
        f'<td>{right / max(left, 1e-9):.2f}</td></tr>'
        for name, (left, right), digits in rows
    ]
    if first.result.boxes is not None and second.result.boxes is not None:
        counts = [len(one.result.above(threshold)) for one in found]
        lines.append(
            f'<tr><td>Objects from {threshold:g} on</td><td>{counts[0]}</td><td>{counts[1]}</td><td></td></tr>'
        )
    head = '<thead><tr><th></th><th>model 1</th><th>model 2</th><th>2 by 1</th></tr></thead>'
    note = (
        'Both took turns on this machine; what else ran on it counts in the milliseconds. The heads of a detector work '
        'more where it proposes more boxes.'
    )
    return f'<table class="found">{head}<tbody>{"".join(lines)}</tbody></table><p>{note}</p>'
