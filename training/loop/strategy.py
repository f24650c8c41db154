"""Where a run trains: on one device, all devices of this machine, or several machines, with one small interface for all."""

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
CONFER_EVERY = 10  # steps; each time, all workers exchange a message


@dataclass(frozen=True)
class Cluster:
    """The machines of a run, as named in the environment variable TF_CONFIG."""

    addresses: tuple[str, ...] = ("localhost",)  # host:port of each worker, the chief first
    index: int = 0  # position of this process in `addresses`


class Strategy:
    """Trains on one device. Subclasses train on several.

    `workers` is the number of processes that train together; `replicas` is the number of copies of the model in all of them.
    Each replica gets its share of every batch. The chief writes the files of the run.

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
        """Returns a context in which to create, load and compile the model: its variables get a copy on every replica."""
        return nullcontext()

    def install(self, model: keras.Model, jit_compile: bool | str) -> None:
        """Makes `fit` and `evaluate` of a compiled model train and test on all replicas.

        Create and compile the model inside `scope`. Restore its variables before this call, which gives layers that draw
        per image one random stream per replica. `jit_compile` says whether XLA compiles the step of each replica; "auto"
        means on GPUs only.
        """

    def distribute(self, batches: Any) -> Any:
        """Returns batches for `fit` and `evaluate` from global batches (images, labels), which every worker passes alike."""
        return batches

    def outcome(self, model: keras.Model, sync_norms: bool) -> str:
        """Says which part of a batch the norms see, and so whether the result is that of one device."""
        return "norms see the whole batch: the result of one device"

    def average_statistics(self, model: keras.Model) -> None:
        """Sets the moving statistics of the norms on every replica to the mean over all replicas.

        All workers must call it together, before the model is evaluated or saved. It does not change the training itself.
        """

    def agree(self, asked: bool) -> bool:
        """Returns whether any worker asks to stop. All workers call it after each step; they confer every few steps."""
        self._steps += 1
        return asked if self.workers == 1 else self._steps % CONFER_EVERY == 0 and self._any(asked)

    def _any(self, asked: bool) -> bool:
        return asked

    def reports_lost_workers(self) -> AbstractContextManager:
        """Returns a context in which a lost worker raises a ConnectionError that says what to do."""
        return nullcontext()

    def check(self, batch_size: int, images: int, sync_norms: bool = False, jit_compile: bool | str = "auto") -> None:
        """Raises ValueError if this strategy cannot train exactly with this global batch size on this many images.

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
    """Returns the strategy with this name, and acquires the devices and connections it needs.

    On TensorFlow, call it before anything else uses the runtime. Devices are the GPUs, or the logical CPUs.

    Args:
        name: "one"; "mirrored" for all devices of this machine; "multiworker" for the machines of TF_CONFIG; "auto" for the
            last of these that has more than one device.
        cpu_devices: use only the CPU, split into this many devices; None leaves the devices as they are.

    Raises:
        ValueError: if the name is unknown, TF_CONFIG does not place this process among several workers, or it is too late
            to change the devices.

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
    """Parses the text of TF_CONFIG into a cluster. An empty text gives a cluster of this process alone.

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
