"""Show mistakes in words, and keep tracebacks on the console of the server."""

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr

from mmsparseswin.cli.run_tool import user_message


def in_words(function: Callable) -> Callable:
    """Return `function` with its mistakes shown in words; the traceback of a bug goes to the server's console only."""

    @wraps(function)
    def called(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except gr.Error:
            raise
        except Exception as error:
            raise gr.Error(as_words(error), title='This did not work', print_exception=False) from None

    return called


def as_words(error: Exception) -> str:
    """Return one line for a user; print the traceback of a bug."""
    message = user_message(error)
    if message is None:
        traceback.print_exception(error, file=sys.stderr)
        message = 'the server met a fault; its console says which'
    return message
