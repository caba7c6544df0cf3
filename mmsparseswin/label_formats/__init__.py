"""Read the labels of other programs (Pascal VOC, a mask per object, YOLO) and write them as COCO JSON."""
