"""Hand predictions to supervision: count by class, and draw with its annotators.

python examples/annotate_with_supervision.py CONFIG WEIGHTS PICTURE OUT.png
"""

import sys

import cv2
import supervision

import mmsparseswin

config, weights, picture, out = sys.argv[1:]
image = cv2.imread(picture)
(result,) = mmsparseswin.load(config, weights).predict(image, score=0.05)
detections = result.to_supervision()
drawn = supervision.BoxAnnotator().annotate(image.copy(), detections)
drawn = supervision.LabelAnnotator().annotate(drawn, detections, list(detections['class_name']))
cv2.imwrite(out, drawn)
print(f'{len(detections)} objects: {", ".join(detections["class_name"])}')
