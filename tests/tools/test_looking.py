"""Test the tools that draw data sets and runs, on a detector and a classifier that train in seconds."""

import json

import numpy as np
import tiny
from PIL import Image


def red(path) -> int:
    """Return the number of pixels in the red of boxes at fault."""
    return int((np.asarray(Image.open(path).convert('RGB')) == (230, 25, 75)).all(-1).sum())


def test_browse_draws_samples_of_a_detector_after_augmentation(tools, coco, tmp_path):
    _, config = coco
    done = tools.run(
        'visualization/browse_dataset.py', config, '--number', 3, '--views', 2, '--side', 100, cwd=tmp_path
    )
    assert (done.code, done.out) == (0, '6 pictures: browse/train_*.png\n'), done.err
    sheet = Image.open(tmp_path / 'browse' / 'train_001.png')
    assert sheet.width == 2 * 108 + 8
    pixels = np.asarray(sheet.convert('RGB'))
    for colour in ((230, 25, 75), (60, 180, 75)):  # squares and discs
        assert (pixels == colour).all(-1).sum() > 300


def test_browse_draws_classes_of_a_classifier(tools, classifier):
    done = tools.run('visualization/browse_dataset.py', classifier.config, '--split', 'val', cwd=classifier.folder)
    assert (done.code, done.out) == (0, '4 pictures: browse/val_*.png\n'), done.err
    refused = tools.run('visualization/browse_dataset.py', classifier.config, '--errors', cwd=classifier.folder)
    assert refused.errors[0].startswith('error: --errors draws findings of COCO files')


def test_browse_errors_marks_the_boxes_at_fault(tools, coco, tmp_path):
    root, config = coco
    clean = tools.run('visualization/browse_dataset.py', config, '--errors', cwd=tmp_path)
    assert (clean.code, clean.out) == (0, 'the check finds nothing that a picture could show\n'), clean.err

    def spoil(content):
        content['annotations'][1]['bbox'] = [9, 7, 20, 4000]  # beyond its picture

    tiny.edit(root, spoil)
    done = tools.run('visualization/browse_dataset.py', config, '--errors', cwd=tmp_path)
    assert done.code == 0, done.err
    assert 'boxes of annotations 2 reach beyond their image' in done.out
    assert done.out.splitlines()[-1] == '2 pictures: browse/errors_*.png'  # the box, and that it is not its mask's
    assert red(tmp_path / 'browse' / 'errors_001.png') > 300


def test_curves_of_a_run(tools, classifier):
    run = 'work_dirs/classifier'
    done = tools.run('visualization/curves.py', run, '--out', 'a/runs.png', cwd=classifier.folder)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith('classifier  loss ')
    assert 'accuracy/top1 best 50' in done.out
    assert done.out.splitlines()[1] == 'picture: a/runs.png'
    assert Image.open(classifier.folder / 'a' / 'runs.png').width > 500


def test_curves_of_a_config_before_training(tools, detector):
    done = tools.run('visualization/curves.py', detector.config, '--out', 'lr.png', cwd=detector.folder)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith('detector: 3 iterations of 3 an epoch; learning rate ')
    assert Image.open(detector.folder / 'lr.png').width > 500


def test_curves_refuse_what_cannot_be_drawn(tools, detector):
    for arguments, words in (
        (['run', detector.config], 'give work dirs, or configs (.py), not both'),
        (['run', '--out', 'x.txt'], 'must end with .png, .svg or .pdf'),
        ([detector.config, '--watch', 5], '--watch SECONDS, at least 1, follows work dirs'),
        (['nowhere'], 'nowhere: no curves yet'),
    ):
        done = tools.run('visualization/curves.py', *arguments, cwd=detector.folder)
        assert done.code == 2
        assert words in done.errors[0]


def test_mistakes_of_a_detector(tools, detector):
    done = tools.run('visualization/mistakes.py', detector.config, detector.checkpoint, cwd=detector.folder)
    assert (done.code, done.out.splitlines()[-1]) == (0, 'report: mistakes/report.html'), done.err
    page = (detector.folder / 'mistakes' / 'report.html').read_text()
    assert all(name in page for name in ('Kinds of errors', 'Worst pictures', 'Labels to look at'))
    found = 'mistakes/predictions.bbox.json'
    again = ['visualization/mistakes.py', detector.config, '--predictions', found, '--out-dir', 'again']
    assert tools.run(*again, cwd=detector.folder).code == 0
    first, second = (
        page.split('Kinds of errors')[2].split('Worst pictures')[0]
        for page in (page, (detector.folder / 'again' / 'report.html').read_text())
    )
    assert first == second


def test_mistakes_of_a_classifier(tools, classifier):
    done = tools.run('visualization/mistakes.py', classifier.config, classifier.checkpoint, cwd=classifier.folder)
    assert (done.code, done.out.splitlines()[-1]) == (0, 'report: mistakes/report.html'), done.err
    page = (classifier.folder / 'mistakes' / 'report.html').read_text()
    assert '50.00 %' in page
    assert page.count('<img') == 2  # half of four pictures are mistaken
    refused = tools.run('visualization/mistakes.py', classifier.config, cwd=classifier.folder)
    assert refused.errors == ['error: give CHECKPOINT to test, or --predictions FILE of a test']


def test_a_report_about_data_sets(tools, coco, tmp_path):
    _, config = coco
    done = tools.run('visualization/dataset_report.py', config, '--samples', 3, cwd=tmp_path)
    assert (done.code, done.out) == (0, 'report: dataset_report.html\n'), done.err
    page = (tmp_path / 'dataset_report.html').read_text()
    assert all(f'{split}: anchors' in page for split in ('train', 'val'))
    assert 'stride 8' in page


def test_browse_draws_truth_beside_prediction(tools, detector):
    found = [dict(image_id=0, category_id=10, bbox=[5, 7, 20, 24], score=0.9)]
    (detector.folder / 'found.json').write_text(json.dumps(found))
    options = ['--predictions', 'found.json', '--split', 'test', '--number', 2, '--side', 120]
    done = tools.run('visualization/browse_dataset.py', detector.config, *options, cwd=detector.folder)
    assert (done.code, done.out) == (0, '2 pictures: browse/predictions_*.png\n'), done.err
    sheet = np.asarray(Image.open(detector.folder / 'browse' / 'predictions_001.png').convert('RGB'))
    left, right = sheet[:, 8:128], sheet[:, 132:252]
    squares = [int((part == (230, 25, 75)).all(-1).sum()) for part in (left, right)]
    assert min(squares) > 100  # the same colour on both sides


def test_cam_draws_a_detector_and_a_classifier(tools, detector, classifier):
    image = detector.folder / 'coco' / 'images' / '001.jpg'
    options = ['--channels', 4, '--class', 'disc']
    command = ['visualization/cam.py', detector.config, detector.checkpoint, image]
    refused = tools.run(*command, cwd=detector.folder)
    assert refused.errors[0].endswith('use --method eigencam')  # a one-stage head
    done = tools.run(*command, '--method', 'eigencam', *options, cwd=detector.folder)
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith('001.jpg: disc ')
    assert Image.open(detector.folder / 'cam' / '001.jpg.png').width > 600
    assert (detector.folder / 'cam' / '001.jpg.features.png').is_file()
    image = classifier.folder / 'images' / 'a' / '000.jpg'
    command = ['visualization/cam.py', classifier.config, classifier.checkpoint, image]
    refused = tools.run(*command, cwd=classifier.folder)
    assert 'name a layer with --layer' in refused.errors[0]
    done = tools.run(*command, '--layer', 'backbone.layer1', cwd=classifier.folder)
    assert done.code == 0, done.err + done.out
