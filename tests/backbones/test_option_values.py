"""Values that no Swin can have are refused with the option, the value and what would work."""

import inspect

import pytest

from mmsparseswin import SparseSwin, STViTR, Swin
from mmsparseswin.errors import InputError

WRONG = [
    *(('window_size', value) for value in (0, -7, 3.5, (7, 7, 0, 7))),
    *((name, value) for name in ('drop_rate', 'attn_drop_rate', 'drop_path_rate') for value in (1, 2.0, -0.1, 'much')),
    *(('frozen_stages', value) for value in (-2, 99, 1.5, True)),
    *(('patch_size', value) for value in (0, 2.5)),
    ('arch', 'huge'),
    ('arch', {'depths': (2, 2)}),
    ('out_type', 'maps'),
    ('out_indices', (0, 7)),
    ('patch_merging', 'max'),
]


@pytest.mark.parametrize('backbone', [Swin, SparseSwin, STViTR])
@pytest.mark.parametrize(('name', 'value'), WRONG, ids=str)
def test_a_wrong_value_is_named(backbone, name, value):
    with pytest.raises(InputError, match=name.partition('_')[0]) as error:
        backbone(**{name: value})
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize('backbone', [Swin, SparseSwin, STViTR])
def test_values_at_the_border_are_taken(backbone):
    backbone(frozen_stages=4, drop_path_rate=0, window_size=1 if backbone is not STViTR else 7)


@pytest.mark.parametrize(
    ('backbone', 'first', 'count'), [(Swin, 'img_size', 21), (SparseSwin, 'token_resize', 26), (STViTR, 'preset', 37)]
)
def test_the_signature_lists_every_option_with_type_and_default(backbone, first, count):
    parameters = inspect.signature(backbone).parameters
    assert list(parameters)[:2] == ['arch', first]
    assert len(parameters) == count
    assert all(inspect.Parameter.empty not in (p.annotation, p.default) for p in parameters.values())
    assert not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values())
    backbone(**{name: p.default for name, p in parameters.items()})


def test_an_option_that_a_class_fixes_itself_has_its_default_there():
    class Slim(Swin):
        def __init__(self, arch='tiny', window_size=4, **swin):
            super().__init__(arch, window_size=window_size, **swin)

    parameters = inspect.signature(Slim).parameters
    assert len(parameters) == 21
    assert parameters['window_size'].default == 4
    with pytest.raises(InputError, match=r"no option \['token_map'\]"):
        Slim(token_map='mlp')
