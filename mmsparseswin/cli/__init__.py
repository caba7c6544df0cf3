"""Options, configs and error lines that the tools share."""

from mmsparseswin.cli.options import OptionsAction, add_amp_option, add_run_options, add_trust_option, parse
from mmsparseswin.cli.run_tool import leave_group, rank, run_tool, user_message

__all__ = [
    'OptionsAction',
    'add_amp_option',
    'add_run_options',
    'add_trust_option',
    'leave_group',
    'parse',
    'rank',
    'run_tool',
    'user_message',
]
