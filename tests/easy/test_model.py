"""One object from Python: train on own data, predict whatever holds pictures, evaluate."""

import re
import shutil
import signal
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from label_formats.yolo_files import write_yolo
from mmengine.config import Config
from PIL import Image

import mmsparseswin
from mmsparseswin.easy import Model
from mmsparseswin.errors import InputError
from tools import tiny


def sure(model: Model, images, **options):
    """Predict with all detections, of which the untrained-like model has a few per picture."""
    return model.predict(images, score=0.0, progress=False, **options)


def test_after_training_the_model_has_weights_and_classes_of_the_data(model, folder):
    assert model.weights == str(folder / 'run' / 'epoch_1.pth')
    assert model.classes == ('plate', 'cup', 'fork')
    assert model.cfg.model.bbox_head.num_classes == 3
    loaded = mmsparseswin.load(folder / 'detector.py', model.weights)
    with pytest.raises(InputError, match='does not fit this config'):  # two classes in the file
        loaded.predict(folder / 'data/images')


def test_export_takes_the_whole_detector_or_its_backbone(model, tmp_path):
    with pytest.raises(InputError, match='detectors are exported as onnx or openvino'):
        model.export(tmp_path / 'model.pt', (64, 64), 'torchscript')
    with pytest.raises(InputError, match='ResNet is no backbone of mmsparseswin'):
        model.export(tmp_path / 'model.onnx', (64, 64), backbone=True)
    assert not list(tmp_path.iterdir())


def test_evaluation_is_that_of_the_training(model, folder):
    scores = model.evaluate(work_dir=folder / 'run')
    (log,) = [path.read_text() for path in (folder / 'run').glob('*/*.log') if 'Epoch(val)' in path.read_text()]
    shown = dict(re.findall(r'(coco/\S+): (\S+)', log))
    assert {name: f'{value:.4f}' for name, value in scores.items()} == shown
    assert model.evaluate(data=folder / 'data', work_dir=folder / 'run') == scores


def same(one, other) -> None:
    np.testing.assert_allclose(one.boxes, other.boxes, atol=0.02)
    np.testing.assert_array_equal(one.labels, other.labels)


def test_every_way_to_give_pictures_gives_the_same_boxes(model, folder):
    paths = sorted((folder / 'data/images').iterdir())[:2]
    wanted = sure(model, paths)
    assert [one.path for one in wanted] == paths
    assert all(len(one) == 5 for one in wanted)
    bgr = [cv2.imread(str(path)) for path in paths]
    rgb = torch.stack([torch.from_numpy(one[..., ::-1].copy()).permute(2, 0, 1) for one in bgr])
    for images in (
        [str(path) for path in paths],
        folder / 'data/images',
        bgr,
        np.stack(bgr),
        [Image.open(path) for path in paths],
        rgb,
        list(rgb.float() / 255),
        (one for one in [paths[0], bgr[1]]),
    ):
        found = sure(model, images, batch_size=2)[:2]
        for one, other in zip(found, wanted, strict=True):
            same(one, other)
    assert [str(one.path) for one in sure(model, bgr)] == ['picture 0', 'picture 1']


def test_grey_and_turned_pictures(model, folder):
    path = sorted((folder / 'data/images').iterdir())[0]
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    same(sure(model, grey)[0], sure(model, np.repeat(grey[..., None], 3, -1))[0])
    turned = Image.open(path)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / 'turned.jpg', exif=exif, quality=95)
    found = sure(model, [folder / 'turned.jpg', Image.open(folder / 'turned.jpg')])
    assert [one.record['width'] for one in found] == [48, 48]
    same(*found)


def test_a_video_of_ten_frames_is_predicted_and_drawn(model, tmp_path):
    path = tmp_path / 'clip.avi'
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for index in range(10):
        frame = np.full((48, 64, 3), 20, np.uint8)
        frame[8:30, 4 * index : 4 * index + 20] = 220
        video.write(frame)
    video.release()
    results = sure(model, path, batch_size=4)
    assert [str(one.name) for one in results] == [f'clip_{index:06d}.jpg' for index in range(10)]
    assert all(len(one) == 5 for one in results)
    drawn = results.draw(tmp_path / 'frames')
    assert [Image.open(one).size for one in drawn] == [(64, 48)] * 10
    frame = np.asarray(Image.open(drawn[9]).convert('RGB')).astype(int)
    assert np.abs(frame[..., 0] - frame[..., 2]).max() > 60  # coloured boxes on grey
    first = next(iter(model.stream(path, score=0.0)))
    same(first, results[0])
    cut = tmp_path / 'cut.mp4'
    cut.write_bytes(b'no video')
    with pytest.raises(InputError, match='no frame that OpenCV can read'):
        sure(model, cut)


@pytest.mark.parametrize(
    ('images', 'error'),
    [
        ('nowhere.jpg', 'no image or folder at nowhere.jpg'),
        ('nowhere.mp4', 'no video at nowhere.mp4'),
        (7, 'a int is no picture'),
        (np.zeros((4, 4, 3)), r'an array of shape \(4, 4, 3\) and type float64 is no picture'),
        (np.zeros((4, 4, 4), np.uint8), r'an array of shape \(4, 4, 4\) and type uint8 is no picture'),
        (torch.zeros(4, 4, 3), r'a tensor of shape \(4, 4, 3\) is no'),
        (torch.full((3, 4, 4), 2.0), 'type float32 is no picture'),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(model, images, error):
    with pytest.raises(InputError, match=error) as caught:
        model.predict(images, progress=False)
    assert '\n' not in str(caught.value)


def test_a_damaged_picture_is_refused(model, folder, tmp_path, capfd):
    source = sorted((folder / 'data/images').iterdir())[0]
    (tmp_path / 'cut.jpg').write_bytes(source.read_bytes()[:700])
    with pytest.raises(InputError, match=r'cut\.jpg cannot be predicted'):
        model.predict(tmp_path / 'cut.jpg', progress=False)
    assert 'cut.jpg' in capfd.readouterr().err


def test_score_drops_detections_and_batches_are_checked(model, folder):
    assert sum(map(len, model.predict(folder / 'data/images', score=0.99, progress=False))) == 0
    with pytest.raises(InputError, match='batch_size 0'):
        model.predict(folder / 'data/images', batch_size=0)


def test_wrong_loads_are_one_line(folder, model):
    for arguments, error in (
        (('nowhere.py',), 'no config at nowhere.py'),
        (('mmsparseswin::nothing.py',), 'mmsparseswin has no config nothing.py'),
        ((folder / 'detector.py', 'nowhere.pth'), 'no checkpoint at nowhere.pth'),
    ):
        with pytest.raises(InputError, match=error):
            mmsparseswin.load(*arguments)
    with pytest.raises(InputError, match="precision 'half' is unknown"):
        mmsparseswin.load(folder / 'detector.py', precision='half')
    bare = mmsparseswin.load(folder / 'detector.py')
    assert 'not trained' in repr(bare)
    for call in (bare.predict, bare.evaluate):
        with pytest.raises(InputError, match='is not trained yet'):
            call(folder / 'data')
    elsewhere = mmsparseswin.load(folder / 'detector.py', model.weights, device='cuda:7')
    with pytest.raises(InputError, match="device 'cuda:7'"):
        elsewhere.predict(folder / 'data')
    with pytest.raises(InputError, match="device 'cuda:7': training and evaluation run on"):
        mmsparseswin.load(folder / 'detector.py', device='cuda:7').train()


def test_training_again_starts_from_the_weights_and_a_yolo_folder_will_do(model, folder, tmp_path):
    box = '0 0.5 0.5 0.3 0.5\n'
    root = write_yolo(tmp_path / 'yolo', {'train/a': box, 'train/b': box, 'val/c': box}, size=(64, 48))
    again = mmsparseswin.load(folder / 'detector.py', model.weights)
    options = {'train_dataloader.batch_size': 1, 'optim_wrapper.optimizer.lr': 0.0}
    again.train(root, epochs=1, work_dir=tmp_path / 'run', cfg_options=options)
    assert again.classes == ('cat', 'dog')
    before, after = (torch.load(path, weights_only=False)['state_dict'] for path in (model.weights, again.weights))
    assert torch.equal(before['backbone.conv1.weight'], after['backbone.conv1.weight'])
    assert len(before['bbox_head.retina_cls.weight']) == 3
    assert len(after['bbox_head.retina_cls.weight']) == 2
    assert again.evaluate(work_dir=tmp_path / 'run').keys() >= {'coco/bbox_mAP'}


def test_data_without_validation_trains_and_is_not_scored(folder, tmp_path):
    shutil.copytree(folder / 'data', tmp_path / 'data')
    (tmp_path / 'data/annotations/instances_val.json').unlink()
    loaded = mmsparseswin.load(folder / 'detector.py').train(tmp_path / 'data', epochs=1, work_dir=tmp_path / 'run')
    assert len(sure(loaded, tmp_path / 'data/images')) == 5
    with pytest.raises(InputError, match='no test_evaluator'):
        loaded.evaluate(work_dir=tmp_path / 'run')


def test_a_stopped_training_is_a_keyboard_interrupt_and_signals_come_back(folder, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    stop = tmp_path / 'stop.py'
    stop.write_text(
        'import os, signal\nfrom mmengine.hooks import Hook\nfrom mmengine.registry import HOOKS\n'
        '@HOOKS.register_module()\nclass StopHook(Hook):\n    def before_train_iter(self, runner, **_):\n'
        '        os.kill(os.getpid(), signal.SIGINT)\n'
    )
    exec(compile(stop.read_text(), stop, 'exec'), {})
    loaded = mmsparseswin.load(folder / 'detector.py')
    loaded.cfg.custom_hooks = [dict(type='StopHook')]
    with pytest.raises(KeyboardInterrupt, match='resume="auto"'):
        loaded.train(folder / 'data', epochs=1, work_dir=tmp_path / 'run')
    assert (tmp_path / 'run' / 'iter_1.pth').is_file()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture(scope='module')
def classes(folder, tmp_path_factory) -> Path:
    """Class folders of three classes, in train and valid."""
    root = tmp_path_factory.mktemp('classes')
    pictures = sorted((folder / 'data/images').iterdir())
    for split in ('train', 'valid'):
        for index, name in enumerate(('ash', 'beech', 'oak')):
            (root / split / name).mkdir(parents=True)
            shutil.copy(pictures[index], root / split / name)
            shutil.copy(pictures[index + 1], root / split / name)
    return root


def test_a_classifier_learns_class_folders(classes, tmp_path):
    config = tiny.write_classifier(tmp_path, classes / 'train')
    model = mmsparseswin.load(config).train(data=classes, epochs=1, work_dir=tmp_path / 'run')
    assert model.classes == ('ash', 'beech', 'oak')
    assert model.evaluate().keys() == {'accuracy/top1'}
    results = model.predict(classes / 'valid', batch_size=4, progress=False)
    assert [len(one) for one in results] == [1] * 6
    pixels = cv2.imread(str(results[0].path))
    (from_memory,) = model.predict(pixels, progress=False)
    assert from_memory.labels == results[0].labels
    np.testing.assert_allclose(from_memory.scores, results[0].scores, atol=1e-4)
    assert list(results.to_pandas().columns) == ['image', 'class', 'label', 'score']
    assert results.to_coco()[0]['class'] == model.classes[results[0].labels[0]]
    assert results[0].draw().shape == pixels.shape
    assert (results[0].draw() != pixels[..., ::-1]).any()
    report = model.export(tmp_path / 'model.onnx', (32, 32), order='bgr')
    assert (tmp_path / 'model.onnx').is_file()
    assert list(report['classes']) == ['ash', 'beech', 'oak']
    with pytest.raises(InputError, match='not trained yet'):
        mmsparseswin.load(config).export(tmp_path / 'none.onnx', (32, 32))


@pytest.mark.parametrize(
    ('make', 'error'),
    [
        (lambda root: None, 'no folder at'),
        (lambda root: (root / 'train/only').mkdir(parents=True), 'no picture in the folder'),
        (lambda root: root.mkdir(), 'has 0 class folders'),
    ],
)
def test_wrong_class_folders(classes, tmp_path, make, error):
    make(tmp_path / 'data')
    with pytest.raises(InputError, match=error):
        mmsparseswin.load(tiny.write_classifier(tmp_path, classes / 'train')).train(tmp_path / 'data')


def test_a_config_that_reads_no_files_is_refused(classes):
    config = Path(mmsparseswin.mim.config_path('swinvit/swinvit_1xb128_cifar10.py'))
    assert Config.fromfile(config).default_scope == 'mmpretrain'
    with pytest.raises(InputError, match='reads no picture files, as those of CIFAR'):
        mmsparseswin.load(config).train(classes)
