"""What has weights or fixed stencils: convolutions, norms, radial basis functions."""
