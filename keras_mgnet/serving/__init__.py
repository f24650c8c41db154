"""Serves exported models with TensorFlow Serving's protocols. Serving an ONNX file needs neither TensorFlow nor Keras."""

from keras_mgnet.extras import CLI, require

require(CLI, "pydantic", "PIL")
