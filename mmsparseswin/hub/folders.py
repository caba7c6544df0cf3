"""Save a model as a folder of config.json and weights, and build it from there."""

import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.checkpoints import convert, load_pretrained, read_checkpoint, write_weights
from mmsparseswin.checkpoints.metadata import META_KEY, to_json
from mmsparseswin.checkpoints.training_files import load_or_refuse
from mmsparseswin.errors import InputError
from mmsparseswin.hub.model_card import Facts, model_card
from mmsparseswin.hub.model_config import CONFIG_FILE, WEIGHTS_FILE, ModelConfig, describe, read_config

CARD = 'README.md'
_FOREIGN = ('model.safetensors', 'pytorch_model.bin')
Fetch = Callable[[str], Path | None]  # name of a file -> where it is, None if there is none


def save_pretrained(
    model: nn.Module,
    folder: str | os.PathLike,
    config: Mapping[str, Any] | None = None,
    license: str | None = None,
) -> Path:
    """Save a model as ``folder/config.json`` and ``folder/model.safetensors``, and a README.md where there is none.

    Args:
        model: a backbone of ours, or a detector or classifier made of the parts in :mod:`mmsparseswin.hub.known_parts`.
        folder: made if it is missing; files of an earlier save are replaced, each at once and whole.
        config: config of a detector or classifier, by default ``model.cfg``. The names of its classes are those of
            ``model.dataset_meta``, the preparation of pictures is its ``test_dataloader``'s.
        license: for README.md, such as 'apache-2.0'.

    Returns:
        the folder.

    Raises:
        InputError: a model that could not be built again from a folder; the part is named.
    """
    return save(model, Path(folder), config, license, str(folder))


def save(model: nn.Module, folder: Path, config: Mapping[str, Any] | None, license: str | None, source: str) -> Path:
    """Do what :func:`save_pretrained` does; `source` is the name by which README.md tells to load the model."""
    described = describe(model, config)
    text = described.to_text()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'{folder} cannot be made: {error.strerror}') from error
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    meta = to_json({'dataset_meta': {'classes': described.classes}} if described.classes else {}, 'meta')
    # The weights come first: a stop between the two leaves an old config.json that refuses weights of another shape.
    write_weights(state, folder / WEIGHTS_FILE, {META_KEY: meta})
    write_atomically(folder / CONFIG_FILE, text.encode())
    if not (folder / CARD).exists():
        write_atomically(folder / CARD, _card(model, described, folder.resolve().name, license, source).encode())
    return folder


def _card(model: nn.Module, described: ModelConfig, name: str, license: str | None, source: str) -> str:
    head = described.model.get('head') or {}
    library = '' if hasattr(model, 'given_options') else described.scope or ('mmpretrain' if head else 'mmdet')
    return model_card(
        Facts(
            name=name,
            model=described.model,
            library=library,
            classes=described.classes,
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            file=WEIGHTS_FILE,
            usage=usage_of(source),
            license=license,
        )
    )


def usage_of(source: str) -> str:
    """Return the lines of Python that load a model from `source`, a folder or a name on a hub."""
    return f'import mmsparseswin\n\nmodel = mmsparseswin.from_pretrained({source!r})'


def load_folder(fetch: Fetch, where: str, options: Mapping[str, Any]) -> nn.Module:
    """Build a model and load its weights.

    Args:
        fetch: finds a file.
        where: folder or name on a hub, for messages.
        options: of a bare backbone's class, instead of the saved ones.

    Raises:
        InputError: see :func:`mmsparseswin.from_pretrained`.
    """
    path = fetch(CONFIG_FILE)
    content = None if path is None else read_config(path.read_bytes(), f'{where}, {CONFIG_FILE}')
    if not isinstance(content, ModelConfig):
        return _load_foreign(fetch, where, content or {}, options)
    weights = fetch(content.weights)
    if weights is None:
        raise InputError(f'{where} has no {content.weights}, which its {CONFIG_FILE} names')
    if not options:
        return _filled(content, read_checkpoint(weights).tensors, where)
    if 'backbone' in content.model:
        raise InputError(
            f'{where} is a {content.model["type"]}; options ({", ".join(options)}) are for a bare backbone'
        )
    model = _build(ModelConfig({**content.model, **options}), where)
    report = load_pretrained(model, weights)
    print_log(f'{type(model).__name__} from {where}\n{report}', logger='current')
    return model.eval()


def _load_foreign(fetch: Fetch, where: str, content: dict[str, Any], options: Mapping[str, Any]) -> nn.Module:
    """Build the model that weights of another library fit, timm's or transformers' for example."""
    path = next((path for name in _FOREIGN if (path := fetch(name))), None)
    if path is None:
        raise InputError(f'{where} has no {CONFIG_FILE} of MMSparseSwin and none of {", ".join(_FOREIGN)}')
    if options:
        raise InputError(f'{where} is not saved by MMSparseSwin: options ({", ".join(options)}) go to create_model')
    converted = convert(path)
    print_log(f'{where}\n{converted}', logger='current')
    names = content.get('id2label') or {}
    classes = tuple(str(name) for name in names.values()) if isinstance(names, dict) else ()
    if len(classes) != converted.model.get('head', {}).get('num_classes'):
        classes = ()
    library = converted.model['type'].partition('.')[0]
    return _filled(ModelConfig(converted.model, library, classes), converted.state_dict, where)


def _build(content: ModelConfig, where: str) -> Any:
    with DefaultScope.overwrite_default_scope(content.scope or 'mmsparseswin'):
        try:
            return MODELS.build(deepcopy(content.model))  # mmpretrain fills in what it is given
        except (ArithmeticError, AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(f'{where}: the model cannot be built: {str(error).splitlines()[0]}') from error


def _filled(content: ModelConfig, tensors: Mapping[str, Any], where: str) -> nn.Module:
    model = _build(content, where)
    try:
        report = load_or_refuse(model, {'state_dict': tensors}, strict=True)
    except InputError as error:
        raise InputError(f'{where}: {error}') from error
    if report.unexpected:
        raise InputError(f'{where}: the weights have more than the model of {CONFIG_FILE}: {report}')
    if 'backbone' in content.model:
        if content.classes:
            model.dataset_meta = {'classes': content.classes}
        # what mmdet's inference_detector and mmpretrain's inferencers look for
        loader = {'dataset': {'pipeline': content.pipeline, 'metainfo': {'classes': content.classes}}}
        model.cfg = Config({'default_scope': content.scope, 'model': content.model, 'test_dataloader': loader})
    return model.eval()
