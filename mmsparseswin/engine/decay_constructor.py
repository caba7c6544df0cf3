"""The rule which parameters decay, asked from the backbone, and learning rates that fall with depth."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmsparseswin.errors import InputError
from mmsparseswin.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DecayConstructor(DefaultOptimWrapperConstructor):
    """Build an optimizer wrapper in which norms, biases and what the backbone names do not decay.

    The backbone is asked by ``no_weight_decay()``, which returns names of its parameters; a backbone without this
    method has norms and biases only. An entry in `custom_keys` counts more than the backbone's word.

    Args:
        optim_wrapper_cfg: config of the wrapper, with the optimizer's in ``optimizer``.
        paramwise_cfg: options of mmengine's constructor, whose `norm_decay_mult` and `bias_decay_mult` are 0 here, and
            `layer_decay` in (0, 1]: each layer's learning rate is so many times that of the next; after the last block
            it is the whole rate. It needs a backbone with ``get_layer_depth(name, prefix)``.

    Raises:
        InputError: `layer_decay` is no number in (0, 1], or the model tells no depths.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        options = {'norm_decay_mult': 0.0, 'bias_decay_mult': 0.0, **(paramwise_cfg or {})}
        self.layer_decay = options.pop('layer_decay', 1.0)
        if not isinstance(self.layer_decay, int | float) or not 0 < self.layer_decay <= 1:
            raise InputError(f'layer_decay={self.layer_decay!r}: give a number above 0 and not above 1')
        super().__init__(optim_wrapper_cfg, options)

    def add_params(self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs: Any) -> None:
        """Add a group for each parameter of `module` to `params`, as mmengine calls it."""
        super().add_params(params, module, prefix, **kwargs)
        if prefix:  # a part of the model
            return
        names = {id(p): name for name, p in module.named_parameters()}
        asked = _innermost(module, 'no_weight_decay')
        still = {asked[0] + name for name in asked[1].no_weight_decay()} if asked else set()
        still = {name for name in still if not any(key in name for key in self.paramwise_cfg.get('custom_keys', ()))}
        asked = _innermost(module, 'get_layer_depth')
        if self.layer_decay < 1 and asked is None:
            raise InputError(f'layer_decay={self.layer_decay}: this backbone tells no depths; leave layer_decay out')
        for group in params:
            name = names[id(group['params'][0])]
            if name in still:
                group['weight_decay'] = 0.0
            if self.layer_decay < 1 and asked is not None:
                depth, count = asked[1].get_layer_depth(name, asked[0])
                group['lr'] = group.get('lr', self.base_lr) * self.layer_decay ** (count - 1 - depth)


def _innermost(model: nn.Module, method: str) -> tuple[str, Any] | None:
    """Return the innermost module with `method` and the prefix of its parameters; wrappers have it at times, too."""
    found = [(f'{name}.' if name else '', one) for name, one in model.named_modules() if hasattr(one, method)]
    return found[-1] if found else None
