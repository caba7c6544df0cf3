"""Let mmengine find this package's configs by name, from any folder: ``mmsparseswin::cascade_sparseswin_coco.py``.

`register_with_mmengine` runs on ``import mmsparseswin``; it imports nothing. Afterwards these work, in either order of
imports: ``_base_ = 'mmsparseswin::...'`` in a config, ``Config.fromfile('mmsparseswin::...')`` and
``DetInferencer('mmsparseswin::...')``. Where nothing imports mmsparseswin before the config is read, as in mmdet's own
tools/train.py, the config asks for the file itself:
``_base_ = __import__('mmsparseswin').mim.config_path('cascade_sparseswin_coco.py')``.

mmengine offers no way to add a package: its table of packages is closed, its names need a folder (``a::b/c.py``), and
it marks every type of such a base with the package's scope, so that CocoDataset would be looked for in this package.
So its three entry points are extended, for names that begin with ``mmsparseswin::`` only.
"""

import difflib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from mmsparseswin.errors import InputError

PREFIX = 'mmsparseswin::'
FOLDER = Path(__file__).parent / '.mim'


def config_path(name: str) -> str:
    """Return the path of a config of this package, named as below ``configs/``, with or without ``mmsparseswin::``.

    Raises:
        InputError: the package has no such config; the message names the closest one.
    """
    configs = (FOLDER / 'configs').resolve()
    relative = name.removeprefix(PREFIX)
    path = configs / relative
    if path.is_file() and configs in path.resolve().parents:
        return str(path)
    known = sorted(str(one.relative_to(configs)) for one in configs.rglob('*.py'))
    close = [one for one in known if Path(one).name == Path(relative).name]
    close += difflib.get_close_matches(relative, known, n=1, cutoff=0.3)
    hint = f'; did you mean {PREFIX}{close[0]}?' if close else ''
    raise InputError(f'mmsparseswin has no config {relative}{hint}')


def resolve(path: str) -> str:
    """Turn ``mmsparseswin::NAME`` into the path of that config; return any other path as it is."""
    return config_path(path) if path.startswith(PREFIX) else path


def register_with_mmengine() -> None:
    """Extend mmengine's Config and inferencers, now or as soon as they are imported; a second call does nothing."""
    for name, extend in (('mmengine.config.config', _extend_config), ('mmengine.infer.infer', _extend_inferencer)):
        if name in sys.modules:
            extend(sys.modules[name])
        elif not any(isinstance(finder, _AfterImport) and finder.name == name for finder in sys.meta_path):
            sys.meta_path.insert(0, _AfterImport(name, extend))


class _AfterImport(importlib.abc.MetaPathFinder):
    """Import hook that calls `action` with the module `name` after its first import and removes itself."""

    def __init__(self, name: str, action: Callable[[ModuleType], None]) -> None:
        self.name, self.action = name, action

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_act(module: ModuleType) -> None:
                execute(module)
                self.action(module)

            spec.loader.exec_module = execute_and_act  # type: ignore[method-assign]
        return spec


def _extend_config(module: ModuleType) -> None:
    config = module.Config
    if getattr(config.fromfile, '_knows_mmsparseswin', False):
        return
    from_file, base_path = config.fromfile, config._get_cfg_path

    def fromfile(filename: str | Path, *args: Any, **kwargs: Any) -> Any:
        return from_file(resolve(filename) if isinstance(filename, str) else filename, *args, **kwargs)

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        # No scope: the types of our configs are looked up in their own default_scope.
        return (config_path(cfg_path), None) if cfg_path.startswith(PREFIX) else base_path(cfg_path, filename)

    fromfile.__doc__ = from_file.__doc__
    fromfile._knows_mmsparseswin = True  # type: ignore[attr-defined]
    config.fromfile, config._get_cfg_path = staticmethod(fromfile), staticmethod(get_cfg_path)


def _extend_inferencer(module: ModuleType) -> None:
    inferencer = module.BaseInferencer
    from_metafile = inferencer._load_model_from_metafile
    if getattr(from_metafile, '_knows_mmsparseswin', False):
        return

    def load_model_from_metafile(self: Any, model: str) -> tuple[Any, str | None]:
        if model.startswith(PREFIX):
            return module.Config.fromfile(resolve(model)), None
        return from_metafile(self, model)

    load_model_from_metafile._knows_mmsparseswin = True  # type: ignore[attr-defined]
    inferencer._load_model_from_metafile = load_model_from_metafile
