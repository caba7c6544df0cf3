"""Run exported models by onnxruntime or OpenVINO, without torch."""

from mmsparseswin.runtime.detections import Detected
from mmsparseswin.runtime.detector import Detector
from mmsparseswin.runtime.loading import load
from mmsparseswin.runtime.model import Classified, Model

__all__ = ['Classified', 'Detected', 'Detector', 'Model', 'load']
