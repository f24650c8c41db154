"""Times several programs. The programs take turns, each in its own process, so that other load on the machine slows all."""

import multiprocessing
import os
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

PAUSE = 0.2  # seconds before a turn, in which idle threads of the previous program stop spinning
WARM_UP = 2  # steps after the first one, which traces and compiles


@dataclass(frozen=True)
class Contender:
    """A program to time.

    Attributes:
        name: name in the tables.
        program: "module:function". This function returns the step to time, which is a function without arguments.
        arguments: arguments of the function that `program` names.
        environment: additional environment variables of the process.
    """

    name: str
    program: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    def make(self) -> Callable[[], Any]:
        """Returns the step to time."""
        module, _, function = self.program.partition(":")
        return getattr(import_module(module), function)(**self.arguments)


@dataclass(frozen=True)
class Lane:
    """The measurements of one contender.

    Attributes:
        name: name of the contender.
        setup: seconds to import and build.
        first: seconds for the first step.
        turns: median of the seconds per step in each turn, one turn per round.
        memory: peak memory of the process, in MB (10^6 bytes).
        built: the same before the first step: the libraries and the model.
    """

    name: str
    setup: float
    first: float
    turns: tuple[float, ...]
    memory: float
    built: float

    @property
    def median(self) -> float:
        """Median over all turns of the seconds per step."""
        return statistics.median(self.turns)

    def times_faster(self, other: "Lane") -> tuple[float, float, float]:
        """Returns the median, least and largest ratio over the rounds: seconds of `other` / seconds of this contender.

        Example:
            >>> Lane("a", 0, 0, (1.0, 2.0), 0, 0).times_faster(Lane("b", 0, 0, (3.0, 4.0), 0, 0))
            (2.5, 2.0, 3.0)
        """
        ratios = [theirs / ours for ours, theirs in zip(self.turns, other.turns, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)


def race(contenders: Iterable[Contender], rounds: int, seconds: float, told: Callable[[str], None] = str) -> list[Lane]:
    """Times the contenders and returns their measurements. In each round, every contender has one turn of about `seconds`.

    Args:
        contenders: the programs, in the order of their turns.
        rounds: number of rounds.
        seconds: length of a turn; a turn has at least one step.
        told: called with a text about what is running.
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
        Lane(c.name, started["setup"], started["first"], tuple(turns[c.name]), memory[c.name], started["built"])
        for c, _, started in running
    ]


@contextmanager
def _started(contender: Contender) -> Iterator[tuple[Any, dict[str, float]]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(contender, theirs), daemon=True)
    with _environment(contender.environment):  # the C library reads some variables at the start of a process
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
    """The program of a contender's process. Builds the step, then runs as many steps as each message in the pipe says."""
    start = time.perf_counter()
    try:
        step = contender.make()
        setup = time.perf_counter() - start
        built, first = peak_memory(), timed(step)
        pipe.send({"setup": setup, "built": built, "first": first, "step": min(timed(step) for _ in range(WARM_UP))})
        while True:
            times = [timed(step) for _ in range(pipe.recv())]
            pipe.send((times, peak_memory()))
    except EOFError:
        return
    except Exception as error:
        pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))


def peak_memory() -> float:
    """Returns the peak resident memory of this process so far, in MB (10^6 bytes). On Linux only.

    `getrusage` would begin with the peak of the parent process.
    """
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kibibytes) / 1e6


def timed(step: Callable[[], Any]) -> float:
    """Calls a step and returns the seconds it takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
