"""Compares training or inference of a network in keras_mgnet, PyTorch and stock Keras with the limit of the machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_mgnet.benchmarks.networks import NETWORKS
from keras_mgnet.benchmarks.race import Contender, Lane
from keras_mgnet.errors import check_known

OURS, STOCK, TORCH = "keras_mgnet", "stock Keras", "PyTorch"
PROGRAMS = "keras_mgnet.benchmarks"
FORMS = ("eager", "channels_last", "compiled", "compiled, channels_last")  # of PyTorch, in the form of the papers
REFERENCE = {"train": OURS, "infer": f"{OURS}, onnx"}  # the contender with which all others are compared
KEEPING = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**30)}  # keeps memory for the next step
MODES = {"train": 3, "infer": 1}  # products in units of the forward pass; backward has one for inputs, one for kernels
CONVOLUTION, PRODUCT = {"batch": 32, "size": 16, "channels": 512}, 2048
MADDS = {"convolution": 32 * (3 * 16 * 512) ** 2, "product": PRODUCT**3}
LIMITS = tuple(
    Contender(f"{kind}, {name}", f"{PROGRAMS}.{module}_programs:{kind}", arguments)
    for kind, arguments in (("convolution", CONVOLUTION), ("product", {"n": PRODUCT}))
    for name, module in (("TensorFlow", "keras"), (TORCH, "torch"))
)


@dataclass(frozen=True)
class Race:
    """All contenders for one network and one batch size.

    Attributes:
        network: a key of `NETWORKS`.
        batch: images per step.
        mode: "train" or "infer".
        files: {format: path} of exported files that are also timed.
    """

    network: str
    batch: int
    mode: str
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self):
        for kind, value, choices in (("network", self.network, NETWORKS), ("mode", self.mode, MODES)):
            check_known(kind, value, choices)
        if self.batch < 1:
            raise ValueError(f"expected batch >= 1. Received: batch={self.batch!r}")

    def contenders(self) -> list[Contender]:
        """Returns all programs in order of turns: ours, stock Keras if any, PyTorch, and plain convolutions and products.

        Example:
            >>> [contender.name for contender in Race("LM-ResNet56", 1, "train").contenders()][:3]
            ['keras_mgnet', 'PyTorch, eager', 'PyTorch, channels_last']
        """
        given, raced = {"network": self.network, "batch": self.batch}, NETWORKS[self.network]
        keras, torch = f"{PROGRAMS}.keras_programs:{self.mode}", f"{PROGRAMS}.torch_programs:{self.mode}"
        forms = (*FORMS, "our form, compiled") if raced.torch_ours else FORMS
        return [
            Contender(OURS, keras, given),
            *(self._artifact(format, path) for format, path in self.files.items()),
            *([Contender(STOCK, keras, given | {"whose": STOCK})] if raced.stock else []),
            *(Contender(f"{TORCH}, {form}", torch, given | {"form": form}) for form in forms),
            Contender(f"{TORCH}, compiled, memory kept", torch, given | {"form": "compiled"}, KEEPING),
            *LIMITS,
        ]

    def _artifact(self, format: str, path: str) -> Contender:
        return Contender(
            f"{OURS}, {format}", f"{PROGRAMS}.keras_programs:artifact", {"path": path, "batch": self.batch}
        )

    def rows(self, lanes: Sequence[Lane], madds: int) -> list[dict[str, Any]]:
        """Returns one row per contender.

        Args:
            lanes: results in the order of `contenders`. Ratios are relative to the lane that `REFERENCE` names, or to the first.
            madds: multiply-adds of the network for the forward pass of one image.
        """
        needed = MODES[self.mode] * self.batch * madds
        limit = max(
            gflops(MADDS["convolution"], min(lane.turns)) for lane in lanes if lane.name.startswith("convolution")
        )
        reference = next((lane for lane in lanes if lane.name == REFERENCE[self.mode]), lanes[0])
        return [self._row(lane, reference, needed, limit) for lane in lanes]

    def _row(self, lane: Lane, reference: Lane, needed: int, limit: float) -> dict[str, Any]:
        kind = lane.name.partition(",")[0]
        speed = gflops(MADDS.get(kind, needed), lane.median)
        faster = (None,) * 3 if kind in MADDS else reference.times_faster(lane)
        return {
            "contender": lane.name,
            "ms": 1000 * lane.median,
            "least_ms": 1000 * min(lane.turns),
            "most_ms": 1000 * max(lane.turns),
            **dict(zip(("ratio", "least_ratio", "most_ratio"), faster, strict=True)),
            "gflops": speed,
            "of_limit": speed / limit,
            "first_s": lane.first,
            "memory_mb": lane.memory,
            "steps_mb": lane.memory - lane.built,
        }


def gflops(madds: int, seconds: float) -> float:
    """Returns the speed in 10^9 floating-point operations per second. A multiply-add counts as two operations.

    Example:
        >>> gflops(10**9, 0.5)
        4.0
    """
    return 2e-9 * madds / seconds
