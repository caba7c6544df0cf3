"""Run exported models by onnxruntime or OpenVINO, without torch."""
