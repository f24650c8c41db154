"""The schemes: what one iteration computes from a state and a field."""
