"""Strategies on JAX: every device holds all variables and gets a part of each batch. The compiler adds the communication.

A step computes over the global batch. Norms, losses, metrics and random numbers are therefore those of one device.
"""

from functools import cache
from typing import Any

import jax
import keras
import numpy as np

from keras_mgnet.training.data.plan import Batches
from keras_mgnet.training.loop.strategy import Cluster, Strategy


@cache
def split_cpu(count: int) -> None:
    """Splits the CPU into `count` devices and hides all others. Raises RuntimeError if JAX has already computed."""
    jax.config.update("jax_num_cpu_devices", count)
    jax.config.update("jax_platforms", "cpu")


@cache  # JAX connects a process only once
def connect_devices(cluster: Cluster | None) -> Strategy:
    """Returns the strategy over the workers of a cluster, or over this machine's devices if `cluster` is None."""
    if cluster:
        keras.distribution.initialize(",".join(cluster.addresses), len(cluster.addresses), cluster.index)
    distribution = keras.distribution.DataParallel(auto_shard_dataset=False)
    strategy = Sharded("multiworker" if cluster else "mirrored", distribution.device_mesh.devices.size, cluster)
    if strategy.replicas > 1:
        keras.distribution.set_distribution(distribution)
    return strategy


class Sharded(Strategy):
    """`keras.distribution.DataParallel`, applied to all models of the process."""

    def distribute(self, batches: Any) -> Any:
        """Returns this worker's part of each global batch. With one worker, the batches stay unchanged, and Keras splits them."""
        if self.workers == 1 or (isinstance(batches, Batches) and batches.share == self.share):
            return batches
        if isinstance(batches, keras.utils.PyDataset):
            return Batches(lambda number: self.part(batches[number]), len(batches))
        return (self.part(batch) for batch in batches)

    def _any(self, asked: bool) -> bool:
        from jax.experimental import multihost_utils

        return bool(multihost_utils.process_allgather(np.array(asked)).any())

    def part(self, batch: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        """Returns the images and labels of this worker."""
        size = len(batch[0]) // self.workers
        return tuple(array[self._worker * size : (self._worker + 1) * size] for array in batch)

    def _check_shares(self, batch_size: int, images: int) -> None:
        if images % self.replicas:
            raise ValueError(
                f"expected batches that {self.replicas} JAX devices share equally; choose another batch_size. "
                f"Received: batch_size={batch_size}, with a batch of {images} images"
            )
