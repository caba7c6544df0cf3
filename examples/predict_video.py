"""Predict a video frame by frame and draw a new one; memory holds one batch at a time.

python examples/predict_video.py CONFIG WEIGHTS VIDEO OUT.avi
"""

import sys

import cv2

import mmsparseswin

config, weights, video, out = sys.argv[1:]
model = mmsparseswin.load(config, weights)
rate = cv2.VideoCapture(video).get(cv2.CAP_PROP_FPS)
writer = None
for number, result in enumerate(model.stream(video, batch_size=4, score=0.3)):
    frame = result.draw()[..., ::-1]  # OpenCV's order
    if writer is None:
        height, width = frame.shape[:2]
        writer = cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*'MJPG'), rate, (width, height))
    writer.write(frame)
    print(number, result)
writer.release()
