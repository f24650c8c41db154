"""Measurements: speed, memory and accuracy next to PyTorch, stock Keras and other solvers."""
