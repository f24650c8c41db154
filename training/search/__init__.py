"""Search over networks with KerasTuner, on one machine or several."""
