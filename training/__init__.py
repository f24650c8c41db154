"""Training: data, input pipeline, configuration, loop and run directories."""
