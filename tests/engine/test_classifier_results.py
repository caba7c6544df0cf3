"""Confusion matrix, accuracy, curves, and the clock."""

import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.logging import MessageHub
from mmpretrain.evaluation import Accuracy
from mmpretrain.structures import DataSample
from PIL import Image
from torchmetrics.functional.classification import multiclass_accuracy

from mmsparseswin.engine import ConfusionMatrix, StopAfterHook, stop_after
from mmsparseswin.engine.training_curves import draw_curves, read_scalars, scores


@pytest.fixture
def predictions():
    torch.manual_seed(0)
    scores = torch.rand(37, 7).softmax(1)
    return scores, torch.randint(7, (37,))


def samples(scores: torch.Tensor, truth: torch.Tensor) -> list[DataSample]:
    return [
        DataSample().set_gt_label(t).set_pred_score(s).set_pred_label(s.argmax())
        for s, t in zip(scores, truth, strict=True)
    ]


def test_top1_and_top5_are_what_torchmetrics_says(predictions):
    scores, truth = predictions
    evaluator = Evaluator([Accuracy(topk=(1, 5)), ConfusionMatrix()])
    for part in torch.arange(37).split(10):
        evaluator.process(data_samples=samples(scores[part], truth[part]), data_batch=None)
    found = evaluator.evaluate(37)
    for k in (1, 5):
        top = multiclass_accuracy(scores, truth, num_classes=7, top_k=k, average='micro')
        assert found[f'accuracy/top{k}'] == pytest.approx(100 * float(top))


def test_the_confusion_matrix_counts_and_is_written(predictions, tmp_path):
    scores, truth = predictions
    metric = ConfusionMatrix()
    metric.dataset_meta = {'classes': tuple('abcdefg')}
    metric.process(None, [sample.to_dict() for sample in samples(scores, truth)])
    assert metric.evaluate(37) == {}  # nothing for the logger
    expected = torch.zeros(7, 7, dtype=torch.long)
    for t, p in zip(truth, scores.argmax(1), strict=True):
        expected[t, p] += 1
    assert torch.equal(metric.matrix, expected)
    metric.write(tmp_path)
    written = json.loads((tmp_path / 'confusion_matrix.json').read_text())
    assert written['matrix'] == expected.tolist()
    assert written['classes'] == list('abcdefg')
    assert Image.open(tmp_path / 'confusion_matrix.png').width > 300


def write_run(folder, records):
    (folder / 'vis_data').mkdir(parents=True)
    (folder / 'vis_data' / 'scalars.json').write_text(''.join(f'{json.dumps(record)}\n' for record in records))


def step(number: int, epoch: int, **more):
    return {'iter': number, 'step': number, 'epoch': epoch, 'loss': 1.0 / number, 'time': 0.5, **more}


def test_scalars_of_a_resumed_run_replace_what_it_repeats(tmp_path):
    first = [step(10, 1, minutes=1.0), {'accuracy/top1': 20.0, 'step': 1}, step(20, 2, minutes=2.0)]
    first += [{'accuracy/top1': 30.0, 'step': 2}, step(30, 3)]
    write_run(tmp_path / '20260101_000000', first)
    write_run(tmp_path / '20260102_000000', [step(20, 2, minutes=0.5), {'accuracy/top1': 40.0, 'step': 2}])
    records = read_scalars(tmp_path)
    assert [record['iter'] for record in records if 'iter' in record] == [10, 20]
    assert scores(records, 'accuracy/top1') == [(1, 1.0, 20), (2, 0.5, 40)]
    assert scores(records, 'coco/bbox_mAP') == []
    for by in ('epoch', 'minutes'):
        figure = draw_curves({'one': records, 'two': records}, by=by)
        assert [axes.get_xlabel() for axes in figure.axes] == [by, by]
    assert len(draw_curves({'only losses': records[:1]}).axes) == 1


def test_a_training_stops_before_the_epoch_that_would_pass_the_limit(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(stop_after.time, 'monotonic', lambda: clock[0])
    hook = StopAfterHook(minutes=10)
    loop = SimpleNamespace(stop_training=False, val_interval=5)
    runner = SimpleNamespace(epoch=0, max_epochs=100, train_loop=loop, message_hub=MessageHub.get_instance('clock'))
    hook.before_train(runner)
    while not loop.stop_training:
        clock[0] += 150  # two and a half minutes
        hook.after_train_iter(runner, 0)
        hook.after_train_epoch(runner)
        runner.epoch += 1
    assert runner.epoch == 4  # exactly ten minutes
    assert loop.val_interval == 1  # and that epoch is validated
    assert runner.message_hub.get_scalar('train/minutes').current() == 10
