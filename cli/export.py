"""`export`: a run's model as SavedModel, TFLite and ONNX."""


def register(app):
    pass
