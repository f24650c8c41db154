"""Where a run trains: one device, all devices of this machine, or several machines, behind one small interface."""

import json
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import keras

from keras_mgnet.errors import check_known

STRATEGIES = ("auto", "one", "mirrored", "multiworker")
CONFER_EVERY = 10  # steps; each time costs all workers a message


@dataclass(frozen=True)
class Cluster:
    """The machines of a run, as the environment variable TF_CONFIG names them."""

    addresses: tuple[str, ...] = ("localhost",)  # host:port of each worker, the chief first
    index: int = 0  # place of this process among them


class Strategy:
    """One device; the strategies with more refine it.

    The `replicas` are copies of the model over all `workers`, the processes that train together; each sees its share of every
    batch. The chief writes the files of the run.

    Example:
        >>> strategy = connect("one")
        >>> strategy.name, strategy.replicas, strategy.workers, strategy.is_chief
        ('one', 1, 1, True)
    """

    def __init__(self, name: str = "one", replicas: int = 1, cluster: Cluster | None = None):
        cluster = cluster or Cluster()
        self.name, self.replicas = name, replicas
        self.workers, self.is_chief = len(cluster.addresses), cluster.index == 0
        self._worker, self._steps = cluster.index, 0

    def scope(self) -> AbstractContextManager:
        """Variables created inside have a copy on every replica: create, load and compile the model there."""
        return nullcontext()

    def install(self, model: keras.Model, jit_compile: bool | str) -> None:
        """Makes `fit` and `evaluate` of a compiled model train and test on all replicas.

        Create and compile the model inside `scope`, and restore its variables before: layers with one draw per image get a
        stream per replica here. `jit_compile` is whether XLA compiles the step of each replica; "auto" for GPUs only.
        """

    def distribute(self, batches: Any) -> Any:
        """Returns what `fit` and `evaluate` take for global batches (images, labels); every worker gives the same ones."""
        return batches

    def outcome(self, model: keras.Model, sync_norms: bool) -> str:
        """Returns in words what a norm of the model sees of a batch, and so whether the result is that of one device."""
        return "norms see the whole batch: the result of one device"

    def average_statistics(self, model: keras.Model) -> None:
        """Gives the norms of every replica the mean of all replicas' moving statistics.

        To be called by all workers at once before the model is evaluated or saved; training itself is not changed by it.
        """

    def agree(self, asked: bool) -> bool:
        """Returns whether a worker asks to stop; to be called by all workers after each step, of which they confer after some."""
        self._steps += 1
        return asked if self.workers == 1 else self._steps % CONFER_EVERY == 0 and self._any(asked)

    def _any(self, asked: bool) -> bool:
        return asked

    def reports_lost_workers(self) -> AbstractContextManager:
        """Inside, a worker that does not answer any more is a ConnectionError which says what to do."""
        return nullcontext()

    def check(self, batch_size: int, images: int, sync_norms: bool = False, jit_compile: bool | str = "auto") -> None:
        """Raises ValueError for what this strategy cannot train exactly: global batches of a data set of so many images.

        Example:
            >>> connect("one").check(128, 60_000)
        """
        if sync_norms and self.replicas > 1 and jit_compile is True and keras.backend.backend() == "tensorflow":
            raise ValueError(
                "expected jit_compile auto or off with synchronised norms: XLA cannot wait for other replicas. "
                "Received: jit_compile on"
            )
        self._check_shares(batch_size, min(batch_size, images))
        if images % batch_size and images > batch_size:
            self._check_shares(batch_size, images % batch_size)

    def _check_shares(self, batch_size: int, images: int) -> None:
        if images < self.replicas:
            raise ValueError(
                f"expected at least one image for each of {self.replicas} replicas in every batch; choose another "
                f"batch_size. Received: batch_size={batch_size}, with a batch of {images} images"
            )


def connect(name: str, cpu_devices: int | None = None) -> Strategy:
    """Returns the strategy of a name and takes the devices and the connections that it needs.

    On TensorFlow this must come before anything else touches the runtime. Devices are the GPUs, or the logical CPUs.

    Args:
        name: "one"; "mirrored", all devices of this machine; "multiworker", the machines of TF_CONFIG; "auto", the last of
            these that has more than one device.
        cpu_devices: how many devices to make of the CPU, which then are all devices; None to leave them as they are.

    Raises:
        ValueError: for an unknown name, for a TF_CONFIG that names no place among several workers, and where devices can no
            longer be changed.

    Example:
        >>> connect("mirored")
        Traceback (most recent call last):
            ...
        ValueError: unknown strategy 'mirored'; did you mean 'mirrored'? Expected one of: ... Received: 'mirored'
    """
    check_known("strategy", name, STRATEGIES)
    cluster = read_cluster(os.environ.get("TF_CONFIG", ""))
    if cpu_devices:
        try:
            _backend().split_cpu(cpu_devices)
        except RuntimeError as error:
            raise ValueError(f"expected cpu_devices before anything is computed. Received: {cpu_devices}") from error
    if name == "one":
        return Strategy()
    if name == "multiworker" and len(cluster.addresses) < 2:
        received = os.environ.get("TF_CONFIG")
        raise ValueError(f"expected TF_CONFIG to name several workers. Received: TF_CONFIG={received!r}")
    several = name != "mirrored" and len(cluster.addresses) > 1
    strategy = _backend().connect_devices(cluster if several else None)
    return Strategy() if name == "auto" and strategy.replicas == 1 else strategy


def _backend() -> ModuleType:
    name = "sharding" if keras.backend.backend() == "jax" else "replicas"
    return import_module(f"keras_mgnet.training.loop.{name}")


def read_cluster(config: str) -> Cluster:
    """Returns the cluster of a TF_CONFIG; this process alone where it is empty.

    Example:
        >>> read_cluster('{"cluster": {"worker": ["a:2222", "b:2222"]}, "task": {"type": "worker", "index": 1}}')
        Cluster(addresses=('a:2222', 'b:2222'), index=1)
    """
    if not config:
        return Cluster()
    try:
        content = json.loads(config)
        jobs, task = content["cluster"], content["task"]
        addresses = {(job, i): address for job in ("chief", "worker") for i, address in enumerate(jobs.get(job, ()))}
        index = list(addresses).index((task["type"], int(task["index"])))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            'expected TF_CONFIG as {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}, '
            f"with the task among the workers. Received: TF_CONFIG={config!r}"
        ) from error
    return Cluster(tuple(addresses.values()), index)
