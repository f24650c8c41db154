"""Measures speed, memory and size, some of them in comparison with PyTorch, stock Keras and PyAMG."""
