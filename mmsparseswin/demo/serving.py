"""Serve the page: on loopback unless told otherwise, with a password beyond it, and with nothing from other hosts."""

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmsparseswin.demo.uploads import MOST_BYTES
from mmsparseswin.errors import InputError
from mmsparseswin.image_files import find_images

if TYPE_CHECKING:
    from mmsparseswin.demo.models import Models

USER = 'demo'
PASSWORD_VARIABLE = 'MMSPARSESWIN_DEMO_PASSWORD'
_LOOPBACK = ('127.0.0.1', 'localhost', '::1')
_SHORTEST = 8  # characters of a password
# Scripts, styles, fonts and pictures of this server alone, so that no one else learns who looks at the page.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


def check_address(host: str, password: str | None) -> None:
    """Check that only a page with a password leaves this machine.

    Raises:
        InputError: another host than loopback without a password, or a short one.
    """
    if host not in _LOOPBACK and not password:
        raise InputError(
            f'--host {host}: whoever reaches this machine could use the page; set the environment variable '
            f'{PASSWORD_VARIABLE}, or leave out --host and reach it by `ssh -L 7860:127.0.0.1:7860 MACHINE`'
        )
    if password and len(password) < _SHORTEST:
        raise InputError(f'{PASSWORD_VARIABLE} has {len(password)} characters: use at least {_SHORTEST}')


def find_samples(models: 'Models', folder: str | None, most: int = 8) -> list[Path]:
    """Return pictures to choose from: of `folder`, or the first of the first model's test data, if they are here.

    Raises:
        InputError: `folder` holds no picture.
    """
    if folder is None:
        data: Any = models.first.cfg.get('test_dataloader') or {}
        data = data.get('dataset', {})
        prefix = data.get('data_prefix') or {}
        where = Path(data.get('data_root') or '', prefix.get('img', '') if isinstance(prefix, dict) else prefix)
        if str(where) == '.' or not where.is_dir():
            return []
        folder = str(where)
    return [job.path.resolve() for job in find_images([folder])[:most]]


@contextmanager
def page_folder() -> Any:
    """Yield a folder that only this user can read, for uploads and results; it is deleted at the end."""
    folder = Path(tempfile.mkdtemp(prefix='mmsparseswin-demo-'))
    kept = os.environ.get('GRADIO_TEMP_DIR')
    os.environ.update(GRADIO_TEMP_DIR=str(folder), GRADIO_ANALYTICS_ENABLED='False', HF_HUB_DISABLE_TELEMETRY='1')
    try:
        yield folder
    finally:
        if kept is None:
            del os.environ['GRADIO_TEMP_DIR']
        else:
            os.environ['GRADIO_TEMP_DIR'] = kept
        shutil.rmtree(folder, ignore_errors=True)


def launch(
    models: 'Models', samples: Sequence[Path], folder: Path, host: str, port: int | None, password: str | None
) -> tuple[Any, str]:
    """Start the server, and return gradio's object and the address; it runs in threads of its own.

    Args:
        models: of the page.
        samples: of :func:`find_samples`.
        folder: of :func:`page_folder`, in whose context this is called.
        host: address to listen at.
        port: None takes the first free one from 7860 on.
        password: of the user 'demo'; None asks for none.

    Raises:
        InputError: gradio is missing, the port is taken, or see :func:`check_address`.
    """
    check_address(host, password)
    try:
        import gradio  # noqa: F401 -- page.py needs it
    except ImportError:
        raise InputError("the page needs gradio: pip install 'mmsparseswin[demo]'") from None
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from mmsparseswin.demo.actions import Actions
    from mmsparseswin.demo.page import CSS, THEME, Page

    blocks = Page(Actions(models, folder), samples).blocks
    guards = [Middleware(_Headers)]
    if host in _LOOPBACK:  # a page of another site must not reach this one under a name of its own
        guards.append(Middleware(TrustedHostMiddleware, allowed_hosts=['127.0.0.1', 'localhost', '[::1]']))
    try:
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port,
            auth=(USER, password) if password else None,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            show_error=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            max_file_size=MOST_BYTES,
            state_session_capacity=500,
            footer_links=[],
            allowed_paths=[str(path.parent) for path in samples[:1]],
            app_kwargs=dict(middleware=guards),
            theme=THEME,
            css=CSS,
        )
    except OSError as error:
        raise InputError(
            f'the page cannot be served at {host}, port {port or "7860 to 7959"} ({error}): choose another --port'
        ) from None
    return blocks, address


class _Headers:
    """ASGI middleware that adds headers to every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        async def sent(message: Any) -> None:
            if message['type'] == 'http.response.start':
                message['headers'] = [
                    *message.get('headers', ()),
                    (b'content-security-policy', _POLICY.encode()),
                    (b'x-content-type-options', b'nosniff'),
                    (b'referrer-policy', b'no-referrer'),
                ]
            await send(message)

        await self._app(scope, receive, sent)
