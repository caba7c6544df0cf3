"""Test that the console drops named lines, sums up others and passes the rest unchanged."""

import io
import subprocess
import sys
import warnings

import pytest

from mmsparseswin.log_filters import FilteredStream, quiet_console

HEAD = '11/25 02:12:22 - mmengine - INFO - '
COLOUR = '11/25 02:12:22 - mmengine - \x1b[4m\x1b[37mINFO\x1b[0m - '


def shown(*texts: str) -> str:
    out = io.StringIO()
    stream = FilteredStream(out)
    for text in texts:
        stream.write(text)
    return out.getvalue()


@pytest.mark.parametrize('head', [HEAD, COLOUR])
@pytest.mark.parametrize(
    'message',
    [
        'Config:\nmodel = dict(\n    type=1)\n',
        'Hooks will be executed in the following order:\nbefore_run:\n(VERY_HIGH   ) RuntimeInfoHook \n',
        '\n------------\nSystem environment:\n    sys.platform: linux\n------------\n',
        '"FileClient" will be deprecated in future. Please use io functions',
        'Exp name: smoke_20261125',
    ],
)
def test_a_named_record_goes_as_a_whole_and_its_neighbours_stay(head, message):
    before, after = f'{head}Epoch(train) [1][1/4]\n', f'{head}Saving checkpoint at 1 epochs\n'
    assert shown(before, f'{head}{message}\n', after) == before + after


def test_printed_lines_go_with_their_line_ends():
    out = io.StringIO()
    stream = FilteredStream(out)
    for line in ('Could not import OneDL', 'Done (t=0.00s)', 'mine', 'index created!', '', 'Config of mine'):
        print(line, file=stream)
    assert out.getvalue() == 'mine\n\nConfig of mine\n'


@pytest.mark.parametrize(
    'text',
    ['Done', 'Done (t=0.1s) with all', f'{HEAD}Configs are read\n', f'{HEAD}the Config:\nx\n', '\r[>>  ] 3/10', '\n\n'],
)
def test_what_is_not_named_stays(text):
    assert shown(text) == text


def test_options_of_parameters_become_one_line_in_their_place():
    options = [f'{HEAD}paramwise_options -- layer{i}.bias:weight_decay=0.0\n' for i in range(3)]
    options += [f'{HEAD}paramwise_options -- layer{i}.bias:lr={i}e-4\n' for i in range(2)]
    after = f'{HEAD}Checkpoints will be saved to w.\n'
    line = f'{HEAD}optimizer options of 3 parameters: weight_decay=0.0 for 3, lr of 2 values for 2\n'
    assert shown(*options, after) == line + after


def test_lines_of_initialisation_become_one_line():
    kinds = [
        'The value is the same before and after calling `init_weights` of Cascade ',
        'NormalInit: mean=0, std=0.01, bias=0 ',
        'NormalInit: mean=0, std=0.001, bias=0 ',
        'Initialized by user-defined `init_weights` in ConvModule  ',
    ]
    records = [f'{HEAD}\nlayer.{i}.weight - torch.Size([2, {i}]): \n{kind}\n \n' for i, kind in enumerate(kinds)]
    line = f'{HEAD}initialised 4 tensors: 2 by NormalInit, 1 as built, 1 by ConvModule\n'
    assert shown(*records, 'next\n') == line + 'next\n'


def test_only_named_warnings_are_ignored_and_only_inside():
    theirs = 'To copy construct from a tensor, it is recommended to use sourceTensor.detach()'
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        with quiet_console():
            warnings.warn(
                'To copy construct from a tensor, it is recommended to use sourceTensor.detach()', stacklevel=1
            )
            warnings.warn('yours', stacklevel=1)
        warnings.warn(theirs, stacklevel=1)
    assert [str(one.message)[:8] for one in seen] == ['yours', 'To copy ']


@pytest.mark.parametrize(('value', 'lines'), [('1', 2), ('0', 1)])
def test_the_switch_shows_everything(value, lines, monkeypatch, capsys):
    monkeypatch.setenv('MMSPARSESWIN_VERBOSE', value)
    with quiet_console():
        print('index created!')
        print('mine')
    assert len(capsys.readouterr().out.splitlines()) == lines


def test_the_error_is_the_last_line_even_in_a_pipe():
    code = """
from mmsparseswin import cli
from mmsparseswin.errors import InputError
def main():
    print('working')
    raise InputError('wrong')
cli.run_tool(main)
"""
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (done.returncode, done.stdout) == (2, 'working\nerror: wrong\n')
