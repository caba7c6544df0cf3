"""Train a slim SparseSwin on class folders (DATA/train/CLASS/*.jpg, DATA/val/CLASS/*.jpg).

python examples/train_classifier.py CONFIG DATA EPOCHS
"""

import sys

import mmsparseswin

config, data, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = mmsparseswin.load(config)
model.train(data=data, epochs=epochs, work_dir='work_dirs/classes')
print(f'top-1 accuracy {model.evaluate()["accuracy/top1"]:.1f} %')
for result in model.predict(f'{data}/val'):
    print(result)
