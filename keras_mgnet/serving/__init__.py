"""Serves exported models with TensorFlow Serving's protocols. Serving an ONNX file needs neither TensorFlow nor Keras."""
