"""What joins two levels."""
