"""The model that a server offers: its versions, loaded and retired while requests run."""

import asyncio
import gc
import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from keras_mgnet.errors import unknown
from keras_mgnet.serving.batching import Batcher, Job
from keras_mgnet.serving.engine import DEFAULT, Arrays, Engine, open_engine
from keras_mgnet.serving.errors import RequestError
from keras_mgnet.serving.pictures import MAX_PIXELS, check_pictures
from keras_mgnet.serving.signature import STRING, Signature
from keras_mgnet.serving.versions import Candidate, fingerprint, read_labels, scan, wanted

log = logging.getLogger(__name__)

MAX_BATCH = 128  # images of one request, and of one call of the runtime
MAX_WAITING = 8 * MAX_BATCH
PIXELS_A_ROW = MAX_PIXELS // MAX_BATCH  # of encoded images that cost as much as one row


@dataclass
class Version:
    """One loaded version. It lives as long as the model offers it or a request runs on it."""

    number: int
    engine: Engine
    batcher: Batcher

    def signature(self, name: str = "") -> Signature:
        """Returns the named signature, by default `serving_default`; raises RequestError for an unknown one."""
        if (name or DEFAULT) not in self.engine.signatures:
            raise RequestError(f"'signature_name': {unknown('signature', name or DEFAULT, self.engine.signatures)}")
        return self.engine.signatures[name or DEFAULT]

    async def run(self, name: str, inputs: Arrays) -> Arrays:
        """Returns the outputs of a signature; raises RequestError for what may not or cannot run."""
        signature = self.signature(name)
        rows = {len(array) for array in inputs.values()}
        if len(rows) > 1:
            raise RequestError(f"expected inputs of one batch size. Received: {', '.join(map(str, sorted(rows)))}")
        weight = max(rows)
        if weight > MAX_BATCH:
            raise RequestError(
                f"expected at most {MAX_BATCH} rows in '{next(iter(inputs))}'. Received: a batch of {weight}"
            )
        for tensor in signature.inputs.values():
            if tensor.dtype == STRING:
                pixels = await asyncio.to_thread(check_pictures, tensor.name, inputs[tensor.name])
                weight = max(weight, pixels // PIXELS_A_ROW)
        return await self.batcher(Job(name or DEFAULT, inputs, weight, alone=not signature.batched))


class Model:
    """The versions below a folder, or one .onnx file, as one model.

    It serves the `latest` highest versions and those with a label in BASE/labels.json. A version that appears is loaded
    and warmed up in a thread, then offered; what it replaces is dropped, and freed when its last request is answered.
    One that does not load, or changes meanwhile, is left alone until its files change. All methods belong to the event
    loop.

    Args:
        base: the folder of all versions, or an .onnx file.
        name: as clients call it.
        executor: threads for the runtimes.
        latest: how many of the highest versions to serve.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> Model(Path("missing"), "digits", ThreadPoolExecutor()).ready
        False
    """

    def __init__(self, base: Path, name: str, executor: Executor, latest: int = 1):
        self.base, self.name = base, name
        self.draining = False
        self.failed: dict[int, tuple[Candidate, str]] = {}
        self.labels: dict[str, int] = {}
        self.versions: dict[int, Version] = {}
        self._executor, self._latest = executor, latest
        self._seen: dict[int, Candidate] = {}

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome."""
        return bool(self.versions) and not self.draining

    def version(self, number: int | None = None, label: str | None = None) -> Version:
        """Returns the version of a number or a label, by default the highest; raises RequestError where there is none."""
        if label is not None:
            if label not in self.labels:
                raise RequestError(str(unknown("label", label, self.labels)), status=404)
            number = self.labels[label]
        if not self.versions:
            raise RequestError(f"expected a loaded version of '{self.name}'. Received: none", status=503)
        number = max(self.versions) if number is None else number
        if number not in self.versions:
            raise RequestError(str(unknown("version", number, map(str, sorted(self.versions)))), status=404)
        return self.versions[number]

    async def watch(self, seconds: float) -> None:
        """Looks for new versions for ever, every so many seconds; what is wrong is logged once."""
        trouble = None
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.update()
                trouble = None
            except Exception as error:  # whatever it is, the next look may find it mended
                if str(error) != trouble:
                    log.warning("keeping the versions of %s as they are: %s", self.name, error)
                trouble = str(error)

    async def start(self) -> None:
        """Loads what is there.

        Raises:
            ValueError: where nothing can be served, or labels.json holds no labels.
            OSError: where `base` cannot be read.
        """
        self._seen = await asyncio.to_thread(scan, self.base)
        await self.update()
        if not self.versions:
            reasons = "; ".join(f"version {number}: {reason}" for number, (_, reason) in self.failed.items())
            raise ValueError(
                f"expected '{self.base}' to be an .onnx file or to hold <version>/saved_model.pb or "
                f"<version>/model.onnx. Received: {reasons or 'no version'}"
            )

    async def update(self) -> None:
        """Loads and drops versions as the folder now says; raises as `scan` and `read_labels`, and changes nothing then.

        A label moves once its new version is loaded.
        """
        found = await asyncio.to_thread(scan, self.base)
        labels = await asyncio.to_thread(read_labels, self.base)
        settled = {number for number, candidate in found.items() if self._seen.get(number) == candidate}
        self._seen = found
        self.failed = {n: failure for n, failure in self.failed.items() if found.get(n) == failure[0]}
        while missing := (
            wanted(found.keys() - self.failed.keys(), self._latest, labels) & settled - self.versions.keys()
        ):
            number = max(missing)
            await self._load(number, found[number])
        here = self.versions.keys() & found.keys()
        self.labels = {
            label: number if number in here else self.labels.get(label, number) for label, number in labels.items()
        }
        self._keep(wanted(here, self._latest, self.labels))

    async def _load(self, number: int, candidate: Candidate) -> None:
        try:
            engine = await asyncio.to_thread(_open_whole, candidate)
        except Exception as error:  # a damaged file fails in ways of its own
            self.failed[number] = candidate, f"{error}"
            log.warning("version %d of %s is not served: %s", number, self.name, error)
            return
        batcher = Batcher(engine.run, self._executor, max_weight=MAX_BATCH, max_waiting=MAX_WAITING)
        self.versions = {**self.versions, number: Version(number, engine, batcher)}
        log.info("version %d of %s is served", number, self.name)
        _settle_memory()

    def _keep(self, numbers: set[int]) -> None:
        dropped = self.versions.keys() - numbers
        if dropped:
            self.versions = {number: version for number, version in self.versions.items() if number in numbers}
            log.info("versions %s of %s are no longer served", sorted(dropped), self.name)
            _settle_memory()


def _settle_memory() -> None:
    """Frees what is no longer served and leaves the rest out of later collections.

    A runtime is up to a million objects: to look through them takes a third of a second, in which no request is answered.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _open_whole(candidate: Candidate) -> Engine:
    engine = open_engine(candidate.path)
    if fingerprint(candidate.path) != candidate.fingerprint:
        raise ValueError(f"expected '{candidate.path}' to be complete. Received: it changed while it was read")
    return engine
