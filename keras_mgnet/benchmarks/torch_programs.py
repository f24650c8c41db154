"""The PyTorch programs that `race` times: training steps, inference, convolutions and matrix products."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from keras_mgnet.benchmarks import torch_networks
from keras_mgnet.benchmarks.networks import CLASSES, IMAGE, NETWORKS

FORMS = {  # name -> (channels last in memory?, compiled?, our form of the network?)
    "eager": (False, False, False),
    "channels_last": (True, False, False),
    "compiled": (False, True, False),
    "compiled, channels_last": (True, True, False),
    "our form, compiled": (False, True, True),
}


def train(network: str, batch: int, form: str) -> Callable[[], object]:
    """Returns a training step: forward, backward, SGD with momentum. `form` is a key of `FORMS`."""
    model, images = _made(network, batch, form)
    labels = torch.arange(batch) % CLASSES
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def infer(network: str, batch: int, form: str) -> Callable[[], object]:
    """Returns a step that computes the logits of a batch. `form` is a key of `FORMS`."""
    model, images = _made(network, batch, form)
    model.eval()

    def step():
        with torch.inference_mode():
            return model(images).numpy()

    return step


def _made(network: str, batch: int, form: str):
    channels_last, compiled, ours = FORMS[form]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    name, arguments = NETWORKS[network].torch
    torch.manual_seed(0)
    model = getattr(torch_networks, NETWORKS[network].torch_ours if ours else name)(**arguments)
    images = torch.randn(batch, IMAGE[-1], *IMAGE[:2]).to(memory_format=layout)
    model = model.to(memory_format=layout)
    return torch.compile(model) if compiled else model, images


def convolution(batch: int, size: int, channels: int) -> Callable[[], object]:
    """Returns a step that computes a 3x3 convolution, with channels last in memory."""
    x, kernel = torch.randn(batch, channels, size, size), torch.randn(channels, channels, 3, 3)
    x, kernel = (tensor.to(memory_format=torch.channels_last) for tensor in (x, kernel))
    return lambda: F.conv2d(x, kernel, padding=1)


def product(n: int) -> Callable[[], object]:
    """Returns a step that computes the product of two n x n matrices."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    return lambda: a @ b
