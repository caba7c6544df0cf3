"""Distances, recall, the judge and what it says about drawn pictures."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS, METRICS, MODELS
from scipy import linalg

from mmsparseswin.errors import InputError
from mmsparseswin.generation.distances import frechet_distance, recall
from mmsparseswin.generation.judge import Judge
from mmsparseswin.mim import config_path

CONFIG = 'generation/lenet_mnist.py'


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmpretrain')


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A small MNIST of noise, each class of its own brightness, and a judge that knows nothing."""
    folder = tmp_path_factory.mktemp('judge')
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (('train', 220), ('test', 150)):
        arrays[f'{split}_labels'] = labels = np.arange(count) % 10
        arrays[f'{split}_images'] = rng.integers(0, 20 + 20 * labels[:, None, None], (count, 28, 28), dtype=np.uint8)
    np.savez(folder / 'mnist.npz', **arrays)
    torch.manual_seed(0)
    init_default_scope('mmpretrain')
    cfg = Config.fromfile(config_path(CONFIG))
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    torch.save({'state_dict': model.state_dict()}, folder / 'judge.pth')
    return folder, arrays


def options(folder):
    return dict(config=config_path(CONFIG), checkpoint=str(folder / 'judge.pth'), data_root=str(folder))


def test_the_distance_is_the_one_of_scipys_matrix_root():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6)), 2 * rng.normal(size=(300, 6)) + 1
    cov = np.cov(a.T), np.cov(b.T)
    root = linalg.sqrtm(cov[0] @ cov[1]).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov[0] + cov[1] - 2 * root)
    assert frechet_distance(torch.tensor(a), torch.tensor(b)) == pytest.approx(expected, rel=1e-6)


def test_the_distance_of_a_shift_and_of_dead_channels():
    a = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    a[:, 3] = 0  # a hidden unit that is never active
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 3) == pytest.approx(36, rel=1e-5)


def test_recall_sees_a_missing_mode():
    generator = torch.Generator().manual_seed(0)
    real = torch.cat((torch.randn(500, 3, generator=generator), torch.randn(500, 3, generator=generator) + 50))
    again = torch.cat((torch.randn(500, 3, generator=generator), torch.randn(500, 3, generator=generator) + 50))
    assert recall(real, again, chunk=300) > 0.9
    assert recall(real, again[:500]) == pytest.approx(recall(real, again) / 2, abs=0.05)
    assert recall(real, again + 1000) == 0


def test_recall_by_hand():
    real = torch.tensor([[0.0], [1.0], [10.0]])
    assert recall(real, torch.tensor([[1.5]]), neighbours=1) == pytest.approx(2 / 3)  # 10: 8.5 away, 1 is at 9
    assert recall(real, torch.tensor([[-2.0]]), neighbours=1) == 0


def test_the_judge_sees_what_its_config_tests(files):
    folder, arrays = files
    judge = Judge(**options(folder))
    features, found, labels = judge.look_at_data('test')
    assert features.shape == (150, 84)
    assert torch.equal(labels, torch.tensor(arrays['test_labels']))
    with torch.no_grad():
        pixels = (torch.tensor(arrays['test_images']).float()[:, None] - 127.5) / 127.5
        expected = judge.model.backbone(pixels)[0]
        scores = judge.model.head.fc(expected)
    assert torch.allclose(features, expected, atol=1e-5)
    assert torch.equal(found, scores.argmax(1))


def test_the_metric_of_pictures_that_are_the_training_set(files):
    folder, arrays = files
    metric = METRICS.build(dict(type='mmsparseswin.DrawingMetric', judge=options(folder)))
    pictures = torch.tensor(arrays['train_images'])[:, None]
    found = metric.judge.look_at_data('train')[1]
    samples = [dict(picture=picture, gt_label=label[None]) for picture, label in zip(pictures, found, strict=True)]
    samples[0]['gt_label'] = (samples[0]['gt_label'] + 1) % 10
    metric.process(None, samples)
    scores = metric.evaluate(len(samples))
    assert scores['drawn/accuracy'] == pytest.approx(219 / 220)
    assert scores['drawn/distance'] == pytest.approx(scores['drawn/floor'], rel=1e-5)
    assert scores['drawn/distance_over_floor'] == pytest.approx(1)
    assert scores['drawn/recall'] > 0.5


def test_too_few_pictures_are_refused(files):
    metric = METRICS.build(dict(type='mmsparseswin.DrawingMetric', judge=options(files[0])))
    metric.process(None, [dict(picture=torch.zeros(1, 28, 28, dtype=torch.uint8), gt_label=torch.tensor([1]))] * 84)
    with pytest.raises(InputError, match='needs more than 84'):
        metric.evaluate(84)


def test_no_judge_is_one_line_at_the_start_of_a_run(files, tmp_path):
    wrong = options(files[0]) | dict(checkpoint=str(tmp_path / 'none.pth'))
    metric = METRICS.build(dict(type='mmsparseswin.DrawingMetric', judge=wrong))
    with pytest.raises(InputError, match=r'no judge at .*none\.pth: train it with') as error:
        metric.dataset_meta = {}
    assert '\n' not in str(error.value)


def test_requests_go_through_the_classes_and_keep_their_noise():
    def build(**changes):
        return DATASETS.build(
            dict(type='mmsparseswin.DrawRequests', count=25, size=(1, 4, 4), num_classes=10) | changes
        )

    data = build()
    assert [int(data[i]['data_samples'].gt_label) for i in range(25)] == [i % 10 for i in range(25)]
    assert torch.equal(data[13]['inputs'], build(count=14)[13]['inputs'])
    assert not torch.equal(data[13]['inputs'], data[3]['inputs'])
    assert not torch.equal(data[13]['inputs'], build(seed=1)[13]['inputs'])
    noise = torch.stack([build(count=200)[i]['inputs'] for i in range(200)])
    assert abs(float(noise.mean())) < 0.1
    assert abs(float(noise.std()) - 1) < 0.1
