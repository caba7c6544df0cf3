from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.fileio import LocalBackend, get_file_backend, register_backend
from mmengine.logging import MessageHub
from mmengine.optim import OneCycleLR

from mmsparseswin.atomic_files import write_atomically
from mmsparseswin.engine.checkpoint_saving import SafeCheckpointHook
from mmsparseswin.engine.safe_reader import read_training_file


class DiskFullError(OSError):
    pass


class FakeRunner:
    """Saves by writing a word, or fails in the middle."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir, self.fails = str(work_dir), False
        self.model = torch.nn.Linear(1, 1)
        self.message_hub = MessageHub.get_instance(f'saving {work_dir}')
        self.logger = SimpleNamespace(info=lambda *_: None)

    def save_checkpoint(self, folder, name, *_, **__):
        if self.fails:
            raise DiskFullError
        get_file_backend(folder).put(b'weights', f'{folder}/{name}')


@pytest.fixture
def hook(tmp_path):
    runner = FakeRunner(tmp_path)
    hook = SafeCheckpointHook(interval=1, max_keep_ckpts=1)
    hook.before_train(runner)
    yield hook, runner
    register_backend('local', LocalBackend, force=True, prefixes='')


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_old_checkpoint_goes_when_the_new_one_is_whole(hook, tmp_path):
    hook, runner = hook
    hook._save_checkpoint_with_step(runner, 1, {})
    runner.fails = True
    with pytest.raises(DiskFullError):
        hook._save_checkpoint_with_step(runner, 2, {})
    assert names(tmp_path) == ['epoch_1.pth', 'last_checkpoint']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')
    runner.fails = False
    hook._save_checkpoint_with_step(runner, 3, {})
    hook._save_checkpoint_with_step(runner, 3, {})  # again, with a new best score
    assert 'epoch_3.pth' in names(tmp_path)
    assert runner.message_hub.get_info('keep_ckpt_ids') == [3]
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_3.pth')


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / 'new' / 'w.pth'
    write_atomically(path, b'old')

    def full(_):
        raise DiskFullError

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(DiskFullError):
        write_atomically(path, b'new')
    assert path.read_bytes() == b'old'
    assert names(path.parent) == ['w.pth']


@pytest.mark.parametrize('by_name', [False, True])
def test_one_cycle_schedules_are_resumed(hook, tmp_path, by_name):
    def one_cycle():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)
        return optimizer, OneCycleLR(optimizer, eta_max=1.0, total_steps=10)

    optimizer, schedule = one_cycle()
    for _ in range(3):
        optimizer.step()
        schedule.step()
    states = [schedule.state_dict()]
    checkpoint = dict(state_dict={'w': torch.ones(1)}, param_schedulers=dict(generator=states) if by_name else states)
    hook[0].before_save_checkpoint(hook[1], checkpoint)
    torch.save(checkpoint, tmp_path / 'a.pth')
    (saved,) = read_training_file(tmp_path / 'a.pth')['param_schedulers']['generator' if by_name else slice(None)]
    assert saved['total_steps'] == 10
    other, resumed = one_cycle()
    resumed.load_state_dict(saved)
    for both in ((optimizer, schedule), (other, resumed)):
        both[0].step()
        both[1].step()
    assert resumed.get_last_value() == schedule.get_last_value() != [0.1]
