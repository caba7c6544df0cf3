"""Find `--cfg-options` that change a variable of the config file, which nothing reads after the file was parsed."""

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmsparseswin.cli.config_tree import walk
from mmsparseswin.cli.option_check import RUNNER_KEYS
from mmsparseswin.errors import InputError

_MOST = 6  # places that are named


def refuse_variable(cfg: Config, option: str, value: Any) -> None:
    """Refuse the option `option` ('a.b.c') if its first word is a variable; name what was made from it.

    Raises:
        InputError: what to set instead.
    """
    name, dot, rest = option.partition('.')
    if name not in cfg or name in RUNNER_KEYS:
        return
    statements = list(_statements(cfg.text))
    places = list(dict.fromkeys(_places(cfg, name, statements)))
    shown = str(value).replace(' ', '') if isinstance(value, (list, tuple, dict)) else value
    message = f'--cfg-options {option}={shown} changes a variable that nothing reads after the file was parsed; '
    if places:
        instead = ' '.join(f'{place}{dot}{rest}={shown}' for place in places[:_MOST])
        more = f' and so on in {len(places) - _MOST} more places' if len(places) > _MOST else ''
        raise InputError(f'{message}set {instead}{more}')
    if sections := _sections(name, statements):
        raise InputError(f'{message}it went into {", ".join(sections)}: set the value there')
    raise InputError(f'{message}no section was made from it')


def _statements(text: str) -> Iterator[ast.Assign]:
    """Yield the assignments of a config and its bases; in `text` each file comes after a line with its path."""
    chunk: list[str] = []
    for line in [*text.splitlines(), __file__]:
        if line.endswith('.py') and not line.startswith(' ') and Path(line).is_file():
            with suppress(SyntaxError):  # a base in JSON or YAML
                yield from (one for one in ast.parse('\n'.join(chunk)).body if isinstance(one, ast.Assign))
            chunk = []
        else:
            chunk.append(line)


def _is_variable(node: ast.AST, name: str) -> bool:
    """Return True for ``name`` and for ``_base_.name``."""
    if isinstance(node, ast.Attribute):
        return node.attr == name and isinstance(node.value, ast.Name) and node.value.id == '_base_'
    return isinstance(node, ast.Name) and node.id == name


def _targets(statement: ast.Assign) -> list[str]:
    return [target.id for target in statement.targets if isinstance(target, ast.Name)]


def _keywords(name: str, statements: list[ast.Assign]) -> set[str]:
    """Return the options that are set to the variable as it is: T_max for ``T_max=max_epochs``."""
    found = {name}
    for node in (node for one in statements for node in ast.walk(one)):
        if isinstance(node, ast.keyword) and node.arg and _is_variable(node.value, name):
            found.add(node.arg)
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found |= {str(key.value) for key, one in pairs if isinstance(key, ast.Constant) and _is_variable(one, name)}
    return found


def _sections(name: str, statements: list[ast.Assign]) -> list[str]:
    """Return the sections that were made from the variable, directly or by way of others."""
    made = {name}
    while True:
        new = {
            target
            for one in statements
            if any(_is_variable(node, known) for node in ast.walk(one.value) for known in made)
            for target in _targets(one)
        } - made
        if not new:
            return sorted(made & RUNNER_KEYS, key=lambda one: (one.startswith('test'), one.startswith('val'), one))
        made |= new


def _places(cfg: Config, name: str, statements: list[ast.Assign]) -> Iterator[str]:
    """Yield the keys that have the variable's value and were made from it."""
    value, keywords = _without_scope(cfg[name]), _keywords(name, statements)
    for section in _sections(name, statements):
        for key, one in walk(section, _without_scope(cfg.get(section))):
            if isinstance(value, dict):
                if isinstance(one, dict) and value and all(part in one and one[part] == value[part] for part in value):
                    yield key
            elif type(one) is type(value) and one == value and (key.rpartition('.')[2] in keywords or _is_long(value)):
                yield key


def _without_scope(node: Any) -> Any:
    """Return a copy without the ``_scope_`` that mmengine adds to variables of another library's config."""
    if isinstance(node, dict):
        return {key: _without_scope(value) for key, value in node.items() if key != '_scope_'}
    return type(node)(map(_without_scope, node)) if isinstance(node, (list, tuple)) else node


def _is_long(value: Any) -> bool:
    """Return True for lists that are hardly equal by chance."""
    return isinstance(value, (list, tuple)) and len(str(value)) > 40
