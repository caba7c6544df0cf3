"""Read the authors' SparseSwinDet: dense encoder, BiFPN and heads (docs/models/sparse_swin_det.md, 'Weights')."""

from collections.abc import Iterable, Mapping
from re import Match

from torch import Tensor

from mmsparseswin.checkpoints.sources.rules import Rules, Source, Translation, apply_rules, prefix_before
from mmsparseswin.checkpoints.sources.sparseswin import SPARSESWIN_DENSE

_ANCHOR = 'bifpn.0.conv6_up.conv.0.weight'
_LAYERS = {'0': 'depthwise', '1': 'pointwise', '2': 'norm'}
_HEADS = {'regressor': 'reg', 'classifier': 'cls'}
_TENSOR = r'(weight|bias|running_mean|running_var|num_batches_tracked)'


def _node(match: Match) -> str:
    """Name a tensor of a fusion node: the way up makes levels 3 to 6, the way down levels 4 to 7."""
    layer, level, way, part, tensor = match.groups()
    return f'neck.layers.{layer}.{way}.{int(level) - (3 if way == "up" else 4)}.{_LAYERS[part]}.{tensor}'


_RULES: Rules = (
    (r'conv([345])\.(weight|bias)', lambda m: f'neck.laterals.{int(m[1]) - 3}.{m[2]}'),
    (r'conv6\.(weight|bias)', r'neck.extra.0.\1'),
    (r'conv7\.1\.(weight|bias)', r'neck.extra.1.\1'),
    (rf'bifpn\.(\d+)\.conv([3-6])_(up)\.conv\.([012])\.{_TENSOR}', _node),
    (rf'bifpn\.(\d+)\.conv([4-7])_(down)\.conv\.([012])\.{_TENSOR}', _node),
    (r'bifpn\.(\d+)\.p([3-6])_w1', lambda m: f'neck.layers.{m[1]}.up.{int(m[2]) - 3}.fusion_weights'),
    (r'bifpn\.(\d+)\.p([4-7])_w2', lambda m: f'neck.layers.{m[1]}.down.{int(m[2]) - 4}.fusion_weights'),
    (
        r'(regressor|classifier)\.layers\.(\d*[02468])\.(weight|bias)',
        lambda m: f'bbox_head.{_HEADS[m[1]]}_convs.{int(m[2]) // 2}.conv.{m[3]}',
    ),
    (r'(regressor|classifier)\.header\.(weight|bias)', lambda m: f'bbox_head.retina_{_HEADS[m[1]]}.{m[2]}'),
)


def _prefix(names: Iterable[str]) -> str | None:
    return prefix_before(_ANCHOR, names)


def _translate(tensors: Mapping[str, Tensor], prefix: str) -> Translation:
    """Translate the encoder as its own source does, and name the rest as a detector of ours does."""
    inner = f'{prefix}backbone_net.'
    result = SPARSESWIN_DENSE.translate({name: t for name, t in tensors.items() if name.startswith(inner)}, inner)
    parts = apply_rules({name: t for name, t in tensors.items() if not name.startswith(inner)}, prefix, _RULES)
    result.detector = parts.tensors
    result.unknown += parts.unknown
    result.dropped |= parts.dropped
    return result


SPARSESWINDET = Source('sparseswindet', _prefix, _translate, SPARSESWIN_DENSE.assumed)
