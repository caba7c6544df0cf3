"""Runs tools in forks of one process that has already imported the libraries: seconds saved on every run.

A fork sees what a fresh process would: its own working folder, arguments, output and exit code.
"""

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith('error: ')]


class Zygote:
    def __init__(self) -> None:
        env = {**os.environ, 'OMP_NUM_THREADS': '1'}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=pipe, stdout=pipe, text=True, env=env, cwd=ROOT
        )

    def run(self, tool: str, *args: object, cwd: Path, env: dict[str, str] | None = None) -> Result:
        """Run tools/<tool> with `args` in the folder `cwd`, `env` added to the environment."""
        assert self._process.stdin
        assert self._process.stdout
        request = {
            'script': str(ROOT / 'tools' / tool),
            'args': list(map(str, args)),
            'cwd': str(cwd),
            'env': env or {},
        }
        self._process.stdin.write(json.dumps(request) + '\n')
        self._process.stdin.flush()
        return Result(*json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=60)


def import_libraries() -> None:
    """Import what forks would import one by one; their garbage collection passes over it."""
    import mmdet.apis
    import mmdet.engine
    import mmdet.models
    import mmdet.visualization  # noqa: F401
    import mmpretrain.apis
    import mmpretrain.datasets
    import mmpretrain.models  # noqa: F401

    gc.freeze()


def _serve() -> None:
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    import_libraries()
    for line in sys.stdin:
        request = json.loads(line)
        with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
            child = os.fork()
            if child == 0:
                _run(request, out.fileno(), err.fileno())
            _, status = os.waitpid(child, 0)
            out.seek(0)
            err.seek(0)
            answers.write(json.dumps([os.waitstatus_to_exitcode(status), out.read(), err.read()]) + '\n')
            answers.flush()


def _run(request: dict, out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)
    signal.alarm(240)
    code: object = 0
    try:
        os.chdir(request['cwd'])
        os.environ.update(request['env'])
        sys.argv = [request['script'], *request['args']]
        runpy.run_path(request['script'], run_name='__main__')
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 1)


if __name__ == '__main__':
    _serve()
