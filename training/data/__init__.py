"""From a data set to batches: images, views of them, and their order, on the host or on the device."""
