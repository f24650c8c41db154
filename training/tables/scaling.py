"""A model of the time of a training step on several machines."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from keras_mgnet.configuration import Count, check

FORWARD_PASSES = 3  # a training step has about three times the multiply-adds of a forward pass
BYTES = 4  # of a gradient, which is float32 in all precisions

Rate = Annotated[float, Field(gt=0)] | None


@dataclass(frozen=True)
class Cluster:
    """Equal machines that share the images of each step and add up their gradients in a ring.

    In a ring of N workers, each of them sends 2 (N - 1) messages one after the other. Each message has an N-th of the gradient.
    The input of the next step is prepared in the meantime.

    Example:
        >>> one, two = (Cluster(workers, rate=1e12, bandwidth=1e9, latency=1e-3) for workers in (1, 2))
        >>> [round(cluster.step(10**9, params=10**6, batch_size=64), 6) for cluster in (one, two)]
        [0.192, 0.102]
    """

    workers: Count = 1
    rate: Rate = None  # multiply-adds per second of one worker in training steps
    bandwidth: Rate = None  # bytes per second that a worker sends; None for no limit
    latency: Annotated[float, Field(ge=0)] = 0.0  # seconds of a message without content
    input_rate: Rate = None  # images per second that a worker reads and prepares; None for no limit

    def __post_init__(self):
        check(self)

    def step(self, multiply_adds: int, params: int, batch_size: int) -> float:
        """Returns the seconds of a training step.

        Args:
            multiply_adds: of one image, forward.
            params: trainable parameters.
            batch_size: images per step, on all workers together.
        """
        share = -(-batch_size // self.workers)
        arithmetic = FORWARD_PASSES * multiply_adds * share / self.rate
        message = BYTES * params / self.workers / self.bandwidth if self.bandwidth else 0.0
        exchange = 2 * (self.workers - 1) * (self.latency + message)
        return max(arithmetic + exchange, share / self.input_rate if self.input_rate else 0.0)
