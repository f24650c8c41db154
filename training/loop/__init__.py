"""A training run: its configuration, its steps on one or many devices, and what the trained model then answers."""
