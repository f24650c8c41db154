"""Serving exported artifacts by TensorFlow Serving's protocols; an ONNX file needs neither TensorFlow nor Keras."""
