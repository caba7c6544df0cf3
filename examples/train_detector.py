"""Train the detector of the quickstart on your own boxes and masks, score it, and predict with it.

python examples/train_detector.py DATA EPOCHS

DATA is a folder in COCO's layout, or a YOLO folder whose labels are outlines.
"""

import sys

import mmsparseswin

data, epochs = sys.argv[1], int(sys.argv[2])
model = mmsparseswin.load('mmsparseswin::quickstart/cascade_sparseswin_shapes.py')
model.train(data=data, epochs=epochs, work_dir='work_dirs/mine')
scores = model.evaluate()
print(f'classes: {", ".join(model.classes)}; weights: {model.weights}; box mAP {scores["coco/bbox_mAP"]:.3f}')
