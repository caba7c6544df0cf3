"""Find out how this package was installed (uv in a clone, `uv pip`, pip, conda) and return matching commands."""

import json
import shlex
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from mmsparseswin.mmcv_ops import COMPILE_IN_CLONE, COMPILE_WITH_PIP


def installed_version(name: str) -> str | None:
    """Return the installed version of a distribution, None if there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


@dataclass(frozen=True)
class Installation:
    """`tool` is 'uv' or 'pip'; `clone` the folder of an editable installation; `locked` if its uv.lock rules it."""

    tool: str
    clone: Path | None = None
    locked: bool = False
    conda: bool = False

    def describe(self) -> str:
        """Describe how the package was installed."""
        place = f'clone {self.clone}' if self.clone else 'wheel'
        return f'{place}, by {self.tool}{" as uv.lock says" if self.locked else ""}{", in conda" if self.conda else ""}'

    def install(self, *arguments: str) -> str:
        """Return the command that installs requirements into this Python."""
        python = shlex.quote(sys.executable)
        command = f'uv pip install --python {python}' if self.tool == 'uv' else f'{python} -m pip install'
        return ' '.join([command, *map(shlex.quote, arguments)])

    def uninstall(self, *names: str) -> str:
        """Return the command that removes distributions from this Python."""
        python = shlex.quote(sys.executable)
        command = f'uv pip uninstall --python {python}' if self.tool == 'uv' else f'{python} -m pip uninstall -y'
        return ' '.join([command, *names])

    def satisfy(self, requirement: str) -> str:
        """Return the command that installs a version that this package asks for: the locked one if there is one."""
        return f'{self._sync()} --inexact' if self.locked else self.install(requirement)

    def reinstall(self, name: str) -> str:
        """Return the command that writes the files of a distribution anew, without touching others."""
        if self.locked:
            return f'{self._sync()} --inexact --reinstall-package {name}'
        source = ['-e', str(self.clone)] if self.clone and name == 'mmsparseswin' else [name]
        if name != 'mmsparseswin':
            version = installed_version(name)
            source = [f'{name}=={version}' if version else name]
        force = '--reinstall' if self.tool == 'uv' else '--force-reinstall'
        return self.install(force, '--no-deps', *source)

    def compile_ops(self) -> str:
        """Return the command that compiles mmcv's operators."""
        return f'cd {shlex.quote(str(self.clone))} && {COMPILE_IN_CLONE}' if self.locked else COMPILE_WITH_PIP

    def _sync(self) -> str:
        return f'cd {shlex.quote(str(self.clone))} && uv sync --frozen'


@cache
def installation() -> Installation:
    """Find out how this package was installed into the running Python.

    Raises:
        importlib.metadata.PackageNotFoundError: it was not; it lies on PYTHONPATH only.
    """
    distribution = metadata.distribution('mmsparseswin')
    tool = 'uv' if (distribution.read_text('INSTALLER') or '').strip() == 'uv' else 'pip'
    direct = json.loads(distribution.read_text('direct_url.json') or '{}')
    clone = None
    if direct.get('dir_info', {}).get('editable'):
        clone = Path(unquote(urlparse(direct['url']).path))
    locked = clone is not None and (clone / 'uv.lock').is_file() and Path(sys.prefix).parent == clone and tool == 'uv'
    return Installation(tool, clone, locked, conda=(Path(sys.prefix) / 'conda-meta').is_dir())
