"""Train a model whose weights, gradients and optimizer state are sharded over the processes (FSDP).

mmengine's FSDPStrategy takes the number of the process for a GPU, calls PyTorch by an old order of arguments when it
resumes, builds the optimizer by the names of wrapped modules, and clips each shard by its own norm. Checkpoints are
those of a plain model.
"""

import copy
import os
import warnings
from collections import OrderedDict
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, cast

import torch
from mmengine._strategy.fsdp import FSDPStrategy as _FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import broadcast, get_world_size
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

from mmsparseswin.errors import InputError, few
from mmsparseswin.layers.fast_path import fast_path
from mmsparseswin.registry import STRATEGIES

_WRAPPED = '_fsdp_wrapped_module.'


@STRATEGIES.register_module()
class FSDPStrategy(_FSDPStrategy):
    """Shard a model by its blocks; what is in none of them is gathered for a whole iteration.

    Fast paths are off, because they keep tensors that belong to weights in one place of memory.

    Args:
        shard: names of the classes that are gathered one at a time, when their ``forward`` runs. Heads of mmdet are
            called by other methods, so they cannot be among them.
        model_wrapper: options of mmengine's MMFullyShardedDataParallel, such as ``sharding_strategy='SHARD_GRAD_OP'``.
        kwargs: of mmengine's FSDPStrategy. ``state_dict_cfg`` is 'full': one file, which a plain model loads.
    """

    def __init__(self, *, shard: tuple[str, ...] = ('SwinBlock',), model_wrapper: dict | None = None, **kwargs: Any):
        kwargs.setdefault('state_dict_cfg', 'full')
        super().__init__(model_wrapper=dict(model_wrapper or {}), **kwargs)
        self.shard = tuple(shard)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        """Keep the model's outline, which tells names, shapes and groups of parameters, and shard it."""
        self.outline = _without_memory(model)
        self._fast_path = fast_path(False)
        self._fast_path.__enter__()  # for the rest of the process
        classes = classes_of(model, self.shard)
        on_gpu = get_device() != 'cpu'
        options = dict(
            type='MMFullyShardedDataParallel',
            auto_wrap_policy=partial(transformer_auto_wrap_policy, transformer_layer_cls=classes),
            sync_module_states=on_gpu,
            device_id=int(os.environ['LOCAL_RANK']) if on_gpu else torch.device('cpu'),
        )
        model.data_preprocessor.to(get_device())
        if not on_gpu:  # FSDP hands out the first process's weights on GPUs only
            for tensor in [*model.parameters(), *model.buffers()]:
                broadcast(tensor.data)
        wrapped = MODEL_WRAPPERS.build(self.model_wrapper, default_args={**options, 'module': model})
        # A move to main memory frees the place that weights come from: on CPUs it is the same one.
        self.state_dict_config.offload_to_cpu = self.optim_state_dict_config.offload_to_cpu = on_gpu
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', FutureWarning)  # the newer calls know no FSDP module's `state_dict()`
            wrapped.set_state_dict_type(
                wrapped, self.state_dict_type, self.state_dict_config, self.optim_state_dict_config
            )
        whole = sum(p.numel() for p in self.outline.parameters())
        shards = sum(p.numel() for p in wrapped.parameters())
        print_log(
            f'FSDP: {shards:,} of {whole:,} parameters in this process of {get_world_size()}, sharded by '
            f'{", ".join(sorted(one.__name__ for one in classes))}',
            'current',
        )
        return wrapped

    def build_optim_wrapper(self, optim_wrapper: Any, model: nn.Module | None = None) -> OptimWrapper:
        """Build the optimizer for the outline and give it the shards: rules that ask names or shapes stay true."""
        cfg, sharded = copy.deepcopy(optim_wrapper), cast('FullyShardedDataParallel', model)
        if cfg.get('type') == 'AmpOptimWrapper':
            cfg.setdefault('use_fsdp', True)
        built = build_optim_wrapper(self.outline, cfg)
        names = {id(p): name for name, p in self.outline.named_parameters()}
        shards = {name.replace(_WRAPPED, ''): p for name, p in sharded.named_parameters()}
        for group in built.optimizer.param_groups:
            group['params'] = [shards[names[id(p)]] for p in group['params']]
        if built.clip_grad_kwargs and built.clip_func is torch.nn.utils.clip_grad_norm_:
            built.clip_func = lambda _, **options: sharded.clip_grad_norm_(**options)
        return built

    def model_state_dict(self) -> dict[str, Tensor]:
        """Return the weights of the plain model in the first process; the others return {}."""
        state = self.model.state_dict()
        # FSDP sets attributes of its tensors, which pickle then keeps as objects instead of as numbers.
        plain = OrderedDict((name, tensor.detach()) for name, tensor in state.items())
        plain._metadata = self.outline.state_dict()._metadata  # type: ignore[attr-defined]  # versions, by plain names
        return plain

    def optim_state_dict(self) -> dict[str, Any]:
        """Return the optimizer's whole state, by names of parameters, in the first process; the others return {}."""
        return FullyShardedDataParallel.optim_state_dict(self.model, self.optim_wrapper.optimizer)

    def load_optim_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`optim_state_dict` returned.

        Raises:
            InputError: it is of a run without FSDP.
        """
        if not all(isinstance(name, str) for name in state_dict['state']):
            raise InputError(
                "the checkpoint's optimizer state is of a run without FSDP: resume without `strategy`, or take its "
                'weights alone: --cfg-options load_from=FILE'
            )
        optimizer = self.optim_wrapper.optimizer
        self.optim_wrapper.load_state_dict(
            FullyShardedDataParallel.optim_state_dict_to_load(self.model, optimizer, state_dict)
        )

    def load_model_state_dict(self, state_dict: Mapping[str, Tensor], *, strict: bool = False, **_: Any) -> None:
        """Load the weights of a plain model.

        Raises:
            InputError: a tensor has another shape.
        """
        shapes = {name: tensor.shape for name, tensor in self.outline.state_dict().items()}
        state = {name.removeprefix('module.'): tensor for name, tensor in state_dict.items()}
        if odd := [name for name, tensor in state.items() if tensor.shape != shapes.get(name, tensor.shape)]:
            raise InputError(
                f'FSDP loads tensors of equal shapes only: {few(odd)} differ; start without `strategy`, or give the '
                'weights of the backbone to --pretrained'
            )
        self.model.load_state_dict(state, strict=strict)


def classes_of(model: nn.Module, names: Collection[str]) -> set[type[nn.Module]]:
    """Return the classes called `names` of the modules of `model`.

    Raises:
        InputError: there are none.
    """
    classes = {type(module) for module in model.modules() if type(module).__name__ in names}
    if not classes:
        blocks = sorted({type(module).__name__ for module in model.modules() if 'Block' in type(module).__name__})
        raise InputError(f'strategy.shard={tuple(names)}: the model has none of these, but {few(blocks)}')
    return classes


def _without_memory(model: nn.Module) -> nn.Module:
    """Return a copy of `model` whose parameters and buffers are on torch's device ``meta``."""
    memo: dict[int, Any] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        empty = torch.empty_like(tensor, device='meta')
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
    return copy.deepcopy(model, memo)
