"""The operators: convolutions, norms, radial basis functions and fixed stencils."""
