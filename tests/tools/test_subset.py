import json


def test_the_first_images_with_their_annotations(tools, coco, tmp_path):
    root, _ = coco
    command = ('dataset_tools/subset_coco.py', root / 'annotations.json', tmp_path / 'part' / 'first.json')
    result = tools.run(*command, '--images', '2', cwd=tmp_path)
    assert result.code == 0, result.err
    part = json.loads((tmp_path / 'part' / 'first.json').read_text())
    assert [image['id'] for image in part['images']] == [0, 1]
    assert [annotation['image_id'] for annotation in part['annotations']] == [0, 1]
    assert len(part['categories']) == 2

    # The last picture has no object.
    result = tools.run(*command, '--images', '5', cwd=tmp_path)
    assert result.code == 2
    assert result.errors[0].endswith('has 4 such images, --images asks for 5')
    assert tools.run(*command, '--images', '5', '--empty', cwd=tmp_path).code == 0
