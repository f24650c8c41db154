"""Requests that wait while the runtime is busy go through it together."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np

from keras_mgnet.serving.engine import Arrays
from keras_mgnet.serving.errors import RequestError


@dataclass
class Job:
    """One request: what it runs, the rows it holds, what it costs, and where its answer goes."""

    signature: str
    inputs: Arrays
    weight: int
    alone: bool
    answer: asyncio.Future = field(init=False)

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def kind(self) -> tuple:
        return self.signature, *((name, array.shape[1:]) for name, array in self.inputs.items())


class Batcher:
    """Runs requests in threads, one batch at a time, in the order of their arrival.

    A request that finds the runtime idle runs at once; what arrives meanwhile is joined, as far as signature and shapes
    agree, into batches of at most `max_weight`. Where a batch fails, its requests are run one by one, so that none
    suffers from another. All methods but the runtime's belong to the event loop, hence no locks.

    Args:
        run: the runtime: signature, inputs -> outputs, callable from any thread.
        executor: its threads.
        max_weight: largest weight of a batch, and of a request.
        max_waiting: weight that may wait; beyond it requests are refused.

    Example:
        >>> from concurrent.futures import ThreadPoolExecutor
        >>> async def double():
        ...     with ThreadPoolExecutor() as executor:
        ...         batcher = Batcher(lambda name, inputs: {"y": 2 * inputs["x"]}, executor, max_weight=4, max_waiting=8)
        ...         return await batcher(Job("f", {"x": np.array([1, 2])}, weight=2, alone=False))
        >>> asyncio.run(double())
        {'y': array([2, 4])}
    """

    def __init__(self, run: Callable[[str, Arrays], Arrays], executor: Executor, *, max_weight: int, max_waiting: int):
        self._run, self._executor = run, executor
        self._max_weight, self._max_waiting = max_weight, max_waiting
        self._waiting: deque[Job] = deque()
        self._work: asyncio.Task | None = None

    async def __call__(self, job: Job) -> Arrays:
        """Returns the outputs of a request.

        Raises:
            RequestError: where too many requests wait, or what the runtime raised.
        """
        if job.weight + sum(other.weight for other in self._waiting) > self._max_waiting:
            raise RequestError("expected fewer requests at a time. Received: more than the queue holds", status=503)
        job.answer = asyncio.get_running_loop().create_future()
        self._waiting.append(job)
        if self._work is None:
            self._work = asyncio.create_task(self._work_off())
        return await job.answer

    async def _work_off(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while jobs := self._take():
                outcomes = await loop.run_in_executor(self._executor, self._outcomes, jobs)
                for job, outcome in zip(jobs, outcomes, strict=True):
                    _settle(job, outcome)
        finally:
            self._work = None

    def _take(self) -> list[Job]:
        """Takes the next request and all that may run with it, passing over those that nobody waits for."""
        taken, left, weight = [], deque(), 0
        for job in self._waiting:
            if job.answer.done():
                continue
            joins = not taken or (not job.alone and not taken[0].alone and job.kind == taken[0].kind)
            if joins and weight + job.weight <= max(self._max_weight, job.weight * (not taken)):
                taken.append(job)
                weight += job.weight
            else:
                left.append(job)
        self._waiting = left
        return taken

    def _outcomes(self, jobs: list[Job]) -> list[Arrays | Exception]:
        if len(jobs) == 1:
            return [self._outcome(jobs[0].signature, jobs[0].inputs)]
        joined = {name: np.concatenate([job.inputs[name] for job in jobs]) for name in jobs[0].inputs}
        outcome = self._outcome(jobs[0].signature, joined)
        if isinstance(outcome, Exception):
            return [self._outcome(job.signature, job.inputs) for job in jobs]
        ends = np.cumsum([job.rows for job in jobs])
        return [
            {name: array[end - job.rows : end] for name, array in outcome.items()}
            for job, end in zip(jobs, ends, strict=True)
        ]

    def _outcome(self, signature: str, inputs: Arrays) -> Arrays | Exception:
        try:
            return self._run(signature, inputs)
        except Exception as error:  # whatever it is belongs to those who wait for it
            return error


def _settle(job: Job, outcome: Arrays | Exception) -> None:
    if job.answer.done():  # cancelled
        return
    if isinstance(outcome, Exception):
        job.answer.set_exception(outcome)
    else:
        job.answer.set_result(outcome)
