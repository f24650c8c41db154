"""The fields: the functions that schemes evaluate. A field owns the kernels and norms, and chooses those of each iteration."""
