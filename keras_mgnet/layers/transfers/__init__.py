"""The transfers: layers that join two levels."""
