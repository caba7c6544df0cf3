"""Training loop by epochs that goes on in the middle of an epoch, with the random numbers of the unbroken run.

Every batch and every iteration seeds the generators of Python, numpy and torch from the run's seed, the rank and its
own number. So the state of a generator never has to outlive an iteration, and a resumed run draws what the unbroken one
would have drawn, with any number of data loader workers, after a stop as well as after a kill.
"""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from mmsparseswin.registry import LOOPS

_DATA, _MODEL = 0, 1  # apart, so that augmentation and drop path do not draw the same numbers


def seed_generators(*numbers: int) -> None:
    """Seed the generators of Python, numpy and torch, GPUs included, from all of `numbers`."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class NumberedBatch(list):
    """Indices of a batch, and the numbers that its augmentation is seeded from; both travel to the workers."""

    seeds: tuple[int, ...] = ()


class NumberedBatches:
    """A batch sampler whose batches carry their number; the first `skip` of the next epoch are left out unread.

    Args:
        batches: the batch sampler of a data loader; its attributes can be read here, too.
    """

    def __init__(self, batches: Any) -> None:
        self.batches = batches
        self.skip = self.first = self.seed = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.batches, name)

    def __iter__(self) -> Iterator[NumberedBatch]:
        skip, first, seed = self.skip, self.first, self.seed
        for place, indices in enumerate(self.batches):
            if place >= skip:
                batch = NumberedBatch(indices)
                batch.seeds = (seed, _DATA, get_rank(), first + place)
                yield batch


class SeededItems:
    """Read the items of a numbered batch from `dataset`; takes the place of its ``__getitems__``."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.read = getattr(dataset, '__getitems__', None)

    def __call__(self, batch: NumberedBatch) -> list:
        """Return the items, the generators seeded from the batch's numbers before."""
        seed_generators(*batch.seeds)
        return self.read(batch) if self.read else [self.dataset[index] for index in batch]


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, resumed at the iteration of the checkpoint rather than at its epoch's beginning.

    All options are mmengine's.
    """

    def __init__(self, runner: Runner, dataloader: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, dataloader, *args, **kwargs)
        self._numbered: NumberedBatches | None = None
        self._seed = runner.seed
        if self.dataloader.batch_sampler is not None:
            self._numbered = NumberedBatches(self.dataloader.batch_sampler)
            # DataLoader forbids to replace it by assignment; nothing is derived from it before the first iterator.
            object.__setattr__(self.dataloader, 'batch_sampler', self._numbered)
            dataset = self.dataloader.dataset
            dataset.__getitems__ = SeededItems(dataset)  # torch's loader asks for it before __getitem__

    def run(self) -> nn.Module:
        """Train all epochs, or what is left of them."""
        self._adopt_order()
        return super().run()

    def _adopt_order(self) -> None:
        """Take the seed of the resumed run, and keep what the order of the data depends on for the next one."""
        info = self.runner.message_hub.runtime_info
        sampler = getattr(self.dataloader.batch_sampler, 'sampler', None)
        self._seed = getattr(sampler, 'seed', self.runner.seed)
        if self._iter and type(info.get('data_seed')) is int and 0 <= info['data_seed'] < 2**32:
            self._seed = info['data_seed']
            if sampler is not None and hasattr(sampler, 'seed'):
                sampler.seed = self._seed  # drawn anew by this process where the config names none
        order = [len(self.dataloader), get_world_size()]
        before = [info.get('batches_per_epoch', order[0]), info.get('processes', order[1])]
        self._skip = self._iter - self._epoch * order[0]
        if self._numbered is None or before != order or not 0 <= self._skip <= order[0]:
            if self._skip:
                print_log(
                    'batch size, data or processes are not those of the checkpoint: its epoch starts again',
                    'current',
                    level=30,
                )
            self._skip = 0
        for name, value in zip(('batches_per_epoch', 'processes', 'data_seed'), (*order, int(self._seed)), strict=True):
            self.runner.message_hub.update_info(name, value)

    def run_epoch(self) -> None:
        """Train one epoch, or what is left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        skip, self._skip = self._skip, 0
        if self._numbered is not None:
            self._numbered.seed, self._numbered.skip = self._seed, skip
            self._numbered.first = self._epoch * len(self.dataloader)
        if skip < len(self.dataloader):
            for index, batch in enumerate(self.dataloader, skip):
                self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Train on one batch, with random numbers of this iteration."""
        seed_generators(self._seed, _MODEL, get_rank(), self._iter)
        super().run_iter(idx, data_batch)
