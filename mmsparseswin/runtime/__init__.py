"""Run exported models by onnxruntime or OpenVINO, without torch."""

from mmsparseswin.runtime.detections import Detected
from mmsparseswin.runtime.detector import Detector
from mmsparseswin.runtime.loading import load
from mmsparseswin.runtime.model import Classified, Model
from mmsparseswin.runtime.sizes import SizedDetector

__all__ = ['Classified', 'Detected', 'Detector', 'Model', 'SizedDetector', 'load']
