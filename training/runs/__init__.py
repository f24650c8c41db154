"""What a run leaves behind: its directory, checkpoints, log and pictures."""
