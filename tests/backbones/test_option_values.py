"""Values that no Swin can have are refused with the option, the value and what would work."""

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
