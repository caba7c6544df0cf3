"""Run exported models by onnxruntime or OpenVINO, without torch."""

from mmsparseswin.runtime.model import Classified, Model, load

__all__ = ['Classified', 'Model', 'load']
