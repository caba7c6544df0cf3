"""Wrong settings given to the real tools: one `error:` line, the last one on stderr, before data is read."""

import pytest

# (tool, options, words of the error)
WRONG = [
    ('train.py', ['optim_wrapper.optimizer.lr=fast'], "optim_wrapper.optimizer.lr is 'fast'"),
    ('train.py', ['train_dataloader.batch_size=0'], 'train_dataloader.batch_size is 0'),
    ('train.py', ['model.neck.type=FPNN'], "model.neck.type is 'FPNN': there is no such model; did you mean FPN?"),
    ('train.py', ['optim_wrapper.optimizer.type=SDG'], 'optim_wrapper.optimizer.type'),
    ('train.py', ['pipeline.2.type=X'], 'changes a variable that nothing reads'),
    ('train.py', ['model.bbox_head.loss_cls.type=FocalLos'], 'did you mean FocalLoss?'),
    ('train.py', ['load_from=nowhere.pth'], 'nowhere.pth'),
    ('test.py', ['test_dataloader.num_workers=-1'], 'test_dataloader.num_workers is -1'),
    (
        'test.py',
        ['test_evaluator.type=CocoMetrik'],
        "is 'CocoMetrik': there is no such metric; did you mean CocoMetric?",
    ),
    ('test.py', ['model.bbox_head.num_clases=2'], 'did you mean model.bbox_head.num_classes?'),
]


@pytest.mark.parametrize(('tool', 'options', 'words'), WRONG, ids=str)
def test_the_last_line_is_the_error(tools, detector, tmp_path, tool, options, words):
    data = detector.folder / 'coco' / 'annotations.json'
    hidden = data.with_suffix('.hidden')
    data.rename(hidden)  # a tool that reads data first complains of it
    try:
        files = [detector.config] if tool == 'train.py' else [detector.config, detector.checkpoint]
        result = tools.run(tool, *files, '--cfg-options', *options, cwd=tmp_path)
    finally:
        hidden.rename(data)
    assert result.code == 2
    assert 'Traceback' not in result.out + result.err
    assert len(result.errors) == 1
    assert result.err.splitlines()[-1] == result.errors[0]
    assert words in result.errors[0]
