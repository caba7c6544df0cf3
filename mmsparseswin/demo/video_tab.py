"""Part of the page that draws predictions into a small video."""

import shutil
from pathlib import Path
from typing import Any

import gradio as gr

from mmsparseswin.cli.picture_sources import VIDEOS
from mmsparseswin.demo.actions import Actions
from mmsparseswin.demo.uploads import MOST_BYTES
from mmsparseswin.demo.videos import MOST_FRAMES, draw_video
from mmsparseswin.demo.words import in_words
from mmsparseswin.errors import InputError


def lay_video(actions: Actions, model: gr.Dropdown, score: gr.Slider) -> None:
    """Lay out the part, and answer its events.

    Args:
        actions: the functions behind the page.
        model: name of the model.
        score: threshold of predictions.
    """
    given = gr.File(
        file_types=sorted(VIDEOS),
        label=f'Video of at most {MOST_FRAMES} frames and {MOST_BYTES // 2**20} MiB',
        height=120,
        elem_id='video',
    )
    button = gr.Button('Draw what the model finds', variant='primary', elem_id='draw-video')
    drawn = gr.Video(show_label=False, interactive=False, buttons=['download'], elem_id='drawn-video')
    text = gr.Markdown(elem_classes='said', elem_id='video-text')
    file = gr.DownloadButton('Download as JSON', interactive=False, elem_id='video-json')

    def run(
        path: str | None,
        name: str,
        threshold: float,
        request: gr.Request,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> tuple:
        if path is None:
            raise InputError('nothing to draw: choose a video first')
        folder = actions.own_folder(request.session_hash) / 'video'
        shutil.rmtree(folder, ignore_errors=True)
        video, found, frames = draw_video(
            actions.models, name, Path(path), folder, threshold, lambda done, of: progress((done, of), unit='frames')
        )
        words = f'{frames} frames, as many a second as in the video given.'
        return str(video), words, gr.DownloadButton(value=str(found), interactive=True)

    button.click(
        in_words(run), [given, model, score], [drawn, text, file], api_visibility='private', concurrency_limit=2
    )
