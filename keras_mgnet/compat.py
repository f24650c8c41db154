"""Private names of other packages: one function a need, with the versions on which each was tried."""


def uses_onednn() -> bool:
    """Returns whether TensorFlow computes with oneDNN on the CPU; importing TensorFlow decides it.

    TensorFlow 2.21, which has no public name for it.
    """
    from tensorflow.python.util import _pywrap_util_port

    return _pywrap_util_port.IsMklEnabled()


def differentiates_groups(dtype: str) -> bool:
    """Returns whether TensorFlow has the gradient of a grouped convolution: cuDNN on a GPU, oneDNN on a CPU.

    TensorFlow 2.21. Without oneDNN a CPU says "Gradients for grouped convolutions are not supported on CPU".
    """
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU")) or (dtype in ("float32", "bfloat16") and uses_onednn())


def remat_mode(layer):
    """Returns the `keras.RematScope` in which a layer was made, None outside of one.

    Keras 3.15, which hands it to `rematerialized_call` alone.
    """
    return layer._remat_mode
