"""Commands and blocks of the pages: the tools that they name exist and take the options that they give."""

import argparse
import re
import runpy
import shlex
import sys
from functools import cache
from pathlib import Path
from typing import NoReturn
from unittest import mock

from mmsparseswin.command import COMMANDS

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r'^```(\w+)\n(.*?)^```', re.DOTALL | re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of code in one language, from top to bottom."""
    return [code for name, code in BLOCK.findall(page.read_text(encoding='utf-8')) if name in language.split()]


def commands(block: str) -> list[str]:
    """Return the commands of a block of shell, without comments, continued lines joined."""
    lines = block.replace('\\\n', ' ').splitlines()
    return [line for line in (re.sub(r'(^|\s)#.*', '', line).strip() for line in lines) if line]


class _Caught(BaseException):
    """Carries a parser out of a tool, before it does anything."""


@cache
def options(tool: str) -> frozenset[str]:
    """Return the options that a file below tools/ takes."""

    def catch(self: argparse.ArgumentParser, *args: object, **kwargs: object) -> NoReturn:
        raise _Caught(self)

    with (
        mock.patch.object(argparse.ArgumentParser, 'parse_args', catch),
        mock.patch.object(argparse.ArgumentParser, 'parse_known_args', catch),
        mock.patch.object(sys, 'argv', [tool]),
    ):
        try:
            runpy.run_path(str(ROOT / 'tools' / tool), run_name='read')['main']()
        except _Caught as caught:
            parser = caught.args[0]
    return frozenset(option for action in parser._actions for option in action.option_strings)


def check_command(command: str) -> None:
    """Raise AssertionError if a command names a tool, file or option of this project that is not there."""
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r'[A-Z_]+=\S*', words[0]):
        words = words[1:]  # variables of the environment
    if not words:
        return
    if words[0] == 'mmsparseswin':
        if len(words) == 1 or words[1].startswith('-'):
            return
        assert words[1] in COMMANDS, f'{command}: mmsparseswin has no command {words[1]}'
        tool = COMMANDS[words[1]][0]
        tool = {'dist-train': 'train.py', 'dist-test': 'test.py'}.get(words[1], tool)
    elif words[0].split('/')[-1].startswith('python') and len(words) > 1 and not words[1].startswith('-'):
        if words[1].split('/')[0] not in ('tools', 'tests', 'examples'):
            return
        assert (ROOT / words[1]).is_file(), f'{command}: no file {words[1]}'
        tool = words[1].removeprefix('tools/')
        if tool.startswith(('tests/', 'examples/', 'dev/')):
            return
    elif (script := next((word for word in words[:2] if word.startswith('tools/')), '')).endswith('.sh'):
        assert (ROOT / script).is_file(), f'{command}: no file {script}'
        tool = {'dist_train.sh': 'train.py', 'slurm_train.sh': 'train.py', 'dist_test.sh': 'test.py'}.get(
            script[6:], ''
        )
    else:
        return
    if tool.endswith('.py'):
        given = {word.partition('=')[0] for word in words if word.startswith('--')}
        assert given <= options(tool), f'{command}: {tool} has no {sorted(given - options(tool))}'
