"""Programs timed against each other: each in a process of its own, in turns, so that what slows the machine slows them all."""

import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

PAUSE = 0.2  # seconds, after which threads that wait for work no longer spin
WARM_UP = 2  # steps behind the first one, which traces and compiles


@dataclass(frozen=True)
class Contender:
    """A program in a race.

    Attributes:
        name: in the tables.
        program: "module:function"; the function returns the step to time, a function of nothing.
        arguments: of that function.
        environment: variables of its process, which is new.
    """

    name: str
    program: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def make(self) -> Callable[[], Any]:
        """Returns its step."""
        module, _, function = self.program.partition(":")
        return getattr(import_module(module), function)(**self.arguments)


@dataclass(frozen=True)
class Lane:
    """How a contender did.

    Attributes:
        name: of the contender.
        setup: seconds to import and build.
        first: seconds of the first step.
        turns: seconds of a step, the median of each turn.
        memory: of its process at its largest, in MB (10^6 bytes).
    """

    name: str
    setup: float
    first: float
    turns: tuple[float, ...]
    memory: float

    @property
    def median(self) -> float:
        """Seconds of a step."""
        return statistics.median(self.turns)

    def times_faster(self, other: "Lane") -> tuple[float, float, float]:
        """Returns by how many times it is faster than another: the median over the rounds, the least and the most.

        Example:
            >>> Lane("a", 0, 0, (1.0, 2.0), 0).times_faster(Lane("b", 0, 0, (3.0, 4.0), 0))
            (2.5, 2.0, 3.0)
        """
        ratios = [theirs / ours for ours, theirs in zip(self.turns, other.turns, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def race(contenders: Iterable[Contender], rounds: int, seconds: float, told: Callable[[str], None] = str) -> list[Lane]:
    """Returns how each contender did in `rounds` rounds, in each of which everyone steps for about `seconds` in turn.

    Args:
        contenders: in the order of their turns.
        rounds: how many.
        seconds: of a turn; it has at least one step.
        told: hears what is running.
    """
    with ExitStack() as stack:
        running = []
        for contender in contenders:
            told(f"{contender.name}: building")
            running.append((contender, *stack.enter_context(_started(contender))))
        turns: dict[str, list[float]] = {contender.name: [] for contender, *_ in running}
        memory = {}
        for number in range(rounds):
            for contender, pipe, started in running:
                told(f"{contender.name}: round {number + 1} of {rounds}")
                time.sleep(PAUSE)
                pipe.send(max(1, round(seconds / started["step"])))
                times, memory[contender.name] = _answer(pipe, contender)
                turns[contender.name].append(statistics.median(times))
    return [
        Lane(c.name, started["setup"], started["first"], tuple(turns[c.name]), memory[c.name])
        for c, _, started in running
    ]


@contextmanager
def _started(contender: Contender) -> Iterator[tuple[Any, dict[str, float]]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(contender, theirs), daemon=True)
    with _environment(contender.environment):  # the C library reads some of it when a process begins
        process.start()
    theirs.close()
    try:
        yield ours, _answer(ours, contender)
    finally:
        process.kill()
        process.join()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _answer(pipe, contender: Contender) -> Any:
    try:
        answer = pipe.recv()
    except EOFError:
        raise RuntimeError(f"expected {contender.name} to run. Received: its process ended") from None
    if isinstance(answer, Exception):
        raise RuntimeError(f"expected {contender.name} to run. Received: {answer}") from answer
    return answer


def _run(contender: Contender, pipe) -> None:
    """What the contender's process does: builds, and then as many steps as it is told, again and again."""
    start = time.perf_counter()
    try:
        step = contender.make()
        setup = time.perf_counter() - start
        first = timed(step)
        pipe.send({"setup": setup, "first": first, "step": min(timed(step) for _ in range(WARM_UP))})
        while True:
            times = [timed(step) for _ in range(pipe.recv())]
            pipe.send((times, peak_memory()))
    except EOFError:
        return
    except Exception as error:
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def peak_memory() -> float:
    """Returns the largest resident memory of this process so far, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def timed(step: Callable[[], Any]) -> float:
    """Returns the seconds that a call takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
