"""A tool whose reader goes away, as in ``| head``, ends without a traceback."""

import subprocess
import sys

import pytest

TOOL = """
import sys
from mmsparseswin.cli import run_tool

def main():
    print('first', flush=True)
    sys.stdin.read()  # until the reader has gone
    {then}

run_tool(main)
"""
EXIT_OF_SIGPIPE = 141


@pytest.mark.parametrize(
    ('then', 'code'),
    [
        ('print("x" * 100_000)', EXIT_OF_SIGPIPE),
        ('print("less than a buffer")', EXIT_OF_SIGPIPE),
        ('print("help"); sys.exit(0)', EXIT_OF_SIGPIPE),
        ('raise BrokenPipeError("of a worker")', EXIT_OF_SIGPIPE),
        ('from mmsparseswin.errors import InputError; print("x"); raise InputError("wrong")', 2),
    ],
)
def test_it_ends_quietly(then, code, monkeypatch):
    monkeypatch.delenv('PYTHONUNBUFFERED', raising=False)  # else no text waits in a buffer
    process = subprocess.Popen(
        [sys.executable, '-c', TOOL.format(then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == 'first\n'
    process.stdout.close()
    process.stdin.close()
    error = process.stderr.read()
    assert process.wait(timeout=60) == code
    assert error == ('' if code == EXIT_OF_SIGPIPE else 'error: wrong\n')


def test_another_broken_pipe_keeps_its_traceback():
    code = TOOL.format(then='raise BrokenPipeError("of a worker")')
    done = subprocess.run([sys.executable, '-c', code], input='', capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'BrokenPipeError: of a worker' in done.stderr


def test_verbose_shows_the_traceback_of_an_error(monkeypatch):
    monkeypatch.setenv('MMSPARSESWIN_VERBOSE', '1')
    code = TOOL.format(
        then='from mmsparseswin.errors import InputError; raise InputError("wrong") from KeyError("cause")'
    )
    done = subprocess.run([sys.executable, '-c', code], input='', capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "KeyError: 'cause'" in done.stderr
    assert done.stderr.splitlines()[-1] == 'error: wrong'
