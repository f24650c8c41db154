"""Turns data sets into batches: reading, augmentation, normalisation and order, on the host or on the device."""
