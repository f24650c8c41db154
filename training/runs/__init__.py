"""The files of a run: its directory, checkpoints, log and pictures."""
