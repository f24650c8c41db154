"""Serving exported artifacts over HTTP and gRPC; whatever serves an ONNX file loads neither TensorFlow nor Keras."""
