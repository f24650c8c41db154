"""Weights of PyTorch: reads and writes state dicts of the authors' code for MgNet and LM-ResNet, and of kuangliu's ResNets."""

from .state_dict import load_torch_weights, load_weights, save_torch_weights

__all__ = ["load_torch_weights", "load_weights", "save_torch_weights"]
