"""Predict all pictures of a folder, draw them, and write a table.

python examples/predict_folder.py CONFIG WEIGHTS FOLDER OUT
"""

import sys

import mmsparseswin

config, weights, folder, out = sys.argv[1:]
model = mmsparseswin.load(config, weights)
results = model.predict(folder, batch_size=4, score=0.3)
results.draw(out)
table = results.to_pandas()
table.to_csv(f'{out}/predictions.csv', index=False)
print(table['class'].value_counts().to_string())
