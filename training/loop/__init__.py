"""A training run: its configuration, its steps on one or several devices, and evaluation and prediction with its model."""
