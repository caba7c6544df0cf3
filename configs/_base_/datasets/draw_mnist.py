# MNIST to learn from; digits to draw, 1,000 at an evaluation in training and 10,000 at a test, with a judge.
_base_ = './mnist_28.py'

data_preprocessor = None  # of classifiers; networks that draw scale to [-1, 1] themselves
train_dataloader = dict(batch_size=64)
requests = dict(type='mmsparseswin.DrawRequests', size=(1, 28, 28), num_classes=10)
drawing = dict(_delete_=True, batch_size=250, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False))
val_dataloader = dict(**drawing, dataset=dict(**requests, count=1000))
test_dataloader = dict(**drawing, dataset=dict(**requests, count=10000))
val_evaluator = dict(
    _delete_=True,
    type='mmsparseswin.DrawingMetric',
    judge=dict(
        config='mmsparseswin::generation/lenet_mnist.py',
        checkpoint='work_dirs/lenet_mnist/epoch_4.pth',
        data_root=_base_.data_root,
    ),
)
test_evaluator = val_evaluator
