"""Where a run trains: on one device, on all devices of this machine, or on several machines. `Strategy` is the interface."""

import json
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import keras

from keras_mgnet.errors import check_known
from keras_mgnet.training.data.plan import Share

STRATEGIES = ("auto", "one", "mirrored", "multiworker")
CONFER_EVERY = 10  # steps; after so many steps all workers exchange a message


@dataclass(frozen=True)
class Cluster:
    """The machines of a run, as named in the environment variable TF_CONFIG."""

    addresses: tuple[str, ...] = ("localhost",)  # host:port of each worker, the chief first
    index: int = 0  # position of this process in `addresses`


class Strategy:
    """Trains on one device. Subclasses train on several devices.

    `workers` is the number of processes that train together. `replicas` is the number of copies of the model in all workers. Each
    replica gets its share of every batch. `share` is the part of every batch that this worker reads. One worker, the chief,
    writes the files of the run.

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
        self.share = Share(cluster.index, self.workers, full=replicas > 1)

    def scope(self) -> AbstractContextManager:
        """Returns a context. Create, load and compile the model inside it, so that the variables get a copy on every replica."""
        return nullcontext()

    def install(self, model: keras.Model, jit_compile: bool | str) -> None:
        """Changes a compiled model so that `fit` and `evaluate` run on all replicas.

        Create and compile the model inside `scope`. Restore variables before this call. The call changes the seeds of layers such
        as dropout, so that the replicas draw different random numbers.

        Args:
            model: the compiled model.
            jit_compile: whether XLA compiles the step of each replica. "auto" means on GPUs only.
        """

    def distribute(self, batches: Any) -> Any:
        """Returns the batches for `fit` and `evaluate`.

        All workers pass the same global batches (images, labels). Or each passes the batches that `pipeline.train_batches` makes
        of its `share`.
        """
        return batches

    def outcome(self, model: keras.Model, sync_norms: bool) -> str:
        """Describes over which part of a batch the norms compute statistics, and whether the result equals that of one device."""
        return "norms use the whole batch, so the result is that of one device"

    def average_statistics(self, model: keras.Model) -> None:
        """Sets the moving statistics of the norms on every replica to the mean over all replicas.

        All workers must call this method at the same point, before the model is evaluated or saved. Training does not depend on
        the moving statistics.
        """

    def agree(self, asked: bool) -> bool:
        """Returns whether any worker asks to stop. All workers call this method after each step.

        Several workers exchange messages only in every tenth call. The other calls then return False.
        """
        self._steps += 1
        return asked if self.workers == 1 else self._steps % CONFER_EVERY == 0 and self._any(asked)

    def _any(self, asked: bool) -> bool:
        return asked

    def reports_lost_workers(self) -> AbstractContextManager:
        """Returns a context. If a worker is lost inside it, a ConnectionError says what to do."""
        return nullcontext()

    def check(self, batch_size: int, images: int, sync_norms: bool = False, jit_compile: bool | str = "auto") -> None:
        """Raises ValueError if the strategy cannot split all batches, or cannot combine XLA with synchronised norms.

        `batch_size` is that of the global batch. `images` is the number of images in an epoch.

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
    """Returns the strategy with this name, and connects to its devices and machines.

    On TensorFlow, call this function before TensorFlow computes anything. The devices are the GPUs, or the logical CPUs on a
    machine without GPUs.

    Args:
        name: one of four names.

            - "one" trains on one device.
            - "mirrored" trains on all devices of this machine.
            - "multiworker" trains on the machines of the environment variable TF_CONFIG.
            - "auto" is "multiworker" if TF_CONFIG names several machines, else "mirrored" if this machine has several devices,
              else "one".
        cpu_devices: number of devices into which the CPU is split. GPUs are then not used. By default the CPU is not split.

    Raises:
        ValueError: if the name is unknown, if TF_CONFIG is invalid, if "multiworker" finds fewer than two workers in TF_CONFIG,
            or if it is too late to split the CPU.

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
            raise ValueError(f"expected cpu_devices before any computation. Received: {cpu_devices}") from error
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
    """Reads a cluster from the text of TF_CONFIG. If the text is empty, the cluster is this process alone.

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
