"""The fields: what a scheme evaluates once per iteration. They own all kernels and norms, and say which iteration uses which."""
