"""Write the model card of published weights: README.md as model hubs read it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmsparseswin import __version__

_TASKS = {'mmdet': 'object-detection', 'mmpretrain': 'image-classification'}
_KINDS = {
    'averaged': 'averaged over training (EMA)',
    'last': 'after the last step of training, not the averaged ones',
}


@dataclass
class Facts:
    """Content of a model card.

    Attributes:
        name: of the model.
        model: its config.
        library: 'mmdet', 'mmpretrain', or '' for a backbone alone.
        classes: names, in the order of labels.
        parameters: their number.
        file: name of the weights.
        usage: lines of Python that use the weights.
        macs: multiply-accumulates of one image, if they were counted.
        shape: height and width of that image.
        sha256: of the file.
        metrics: name -> value.
        training: epoch, iter, weights and command, as far as known.
        license: identifier of SPDX or of a model hub, or None.
    """

    name: str
    model: Mapping[str, Any]
    library: str
    classes: Sequence[str]
    parameters: int
    file: str
    usage: str
    macs: int | None = None
    shape: tuple[int, int] = (0, 0)
    sha256: str = ''
    metrics: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    license: str | None = None


def model_card(facts: Facts) -> str:
    """Return the text of README.md."""
    parts = [_front_matter(facts), f'# {facts.name}', _first_sentence(facts), _table(facts)]
    if facts.metrics:
        rows = '\n'.join(f'| {_cell(name)} | {value:.6g} |' for name, value in facts.metrics.items())
        parts.append(f'## Metrics\n\n| metric | value |\n| --- | --- |\n{rows}')
    command = facts.training.get('command')
    if facts.training:
        parts.append(f'## Training\n\n{_fenced(command, "shell") if command else "The command was not recorded."}')
    parts.append(f'## Use\n\n{_fenced(facts.usage, "python")}')
    if facts.classes:
        parts.append(f'## Classes\n\n{_fenced(", ".join(facts.classes), "text")}')
    return '\n\n'.join(parts) + '\n'


def _front_matter(facts: Facts) -> str:
    """Return YAML; each value is JSON, which is YAML, so that no name can break it."""
    words: dict[str, Any] = {'library_name': 'mmsparseswin'}
    if facts.license:
        words['license'] = facts.license
    words['pipeline_tag'] = _TASKS.get(facts.library, 'image-feature-extraction')
    words['tags'] = ['mmsparseswin', *([facts.library] if facts.library else [])]
    return '\n'.join(['---', *(f'{name}: {json.dumps(value)}' for name, value in words.items()), '---'])


def _first_sentence(facts: Facts) -> str:
    kind = str(facts.model.get('type', '')).rsplit('.', 1)[-1]
    what = f'`{kind}`'
    backbone = facts.model
    while isinstance(inner := backbone.get('backbone'), Mapping):
        backbone = inner
    if backbone is not facts.model:
        what += f' with the backbone `{str(backbone.get("type")).rsplit(".", 1)[-1]}`'
    if isinstance(arch := backbone.get('arch'), str):
        what += f' (`{arch}`)'
    count = f', {len(facts.classes)} classes' if facts.classes else ''
    return f'{what}{count}. Written by MMSparseSwin {__version__}.'


def _table(facts: Facts) -> str:
    rows = [('Parameters', f'{facts.parameters:,}')]
    if facts.macs is not None:
        rows.append(('MACs', f'{facts.macs:,} for one image of {facts.shape[0]} x {facts.shape[1]} (height x width)'))
    rows.append(('Weights', f'`{facts.file}`' + _kind(facts.training.get('weights'))))
    if facts.sha256:
        rows.append(('SHA-256', f'`{facts.sha256}`'))
    trained = [f'{word} {facts.training[name]:,}' for name, word in _COUNTS if name in facts.training]
    if trained:
        rows.append(('Trained', ', '.join(trained)))
    rows.append(('License', _cell(facts.license) if facts.license else 'not stated: ask whoever trained the model'))
    return '| | |\n| --- | --- |\n' + '\n'.join(f'| {name} | {value} |' for name, value in rows)


_COUNTS = (('epoch', 'epoch'), ('iter', 'iteration'))


def _kind(kind: Any) -> str:
    return f', {_KINDS[kind]}' if kind in _KINDS else ''


def _cell(text: str) -> str:
    return ' '.join(text.split()).replace('|', '\\|')


def _fenced(text: str, language: str) -> str:
    fence = '```'
    while fence in text:
        fence += '`'
    return f'{fence}{language}\n{text}\n{fence}'
