"""The fields: what is evaluated once an iteration. They own all kernels and norms, and say which iteration uses which."""
