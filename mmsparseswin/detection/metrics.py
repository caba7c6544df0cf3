"""COCO mAP by the fastest evaluator at hand."""

from importlib.util import find_spec

from mmdet.evaluation import CocoMetric, FasterCocoMetric

from mmsparseswin.registry import METRICS

# The same mAP from both; faster-coco-eval takes well under half the time but is compiled code that a machine may lack.
METRICS.register_module(name='CocoMetric', module=FasterCocoMetric if find_spec('faster_coco_eval') else CocoMetric)
