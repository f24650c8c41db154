"""Runs the processes of a search on one machine, a chief and its workers, and shows their progress."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from keras_mgnet.console import progress_bar
from keras_mgnet.files import check_room
from keras_mgnet.training.search.config import TuneConfig
from keras_mgnet.training.search.trials import read_trials

HOST, CHIEF = "127.0.0.1", "chief"
GPUS = Path("/proc/driver/nvidia/gpus")
RESTARTS = 3  # of a worker killed by a signal
POLL, GRACE = 0.5, 60  # seconds: between checks, and for a process to save its work


def run_processes(config: TuneConfig, console: Console) -> None:
    """Runs the chief and the workers of a prepared search until it is complete.

    Each worker trains on one GPU. If there are more workers than GPUs, workers share GPUs. A worker killed by a signal is
    restarted and continues its trial, up to three times. When this process ends, for any reason, the chief and workers end too.

    Raises:
        OSError: if a process fails and the disk is full.
        ChildProcessError: if a process fails for another reason. The message has the last line that the process printed.
    """
    workers = [f"worker{number}" for number in range(config.workers)]
    environments, restarts = _environments(workers), dict.fromkeys(workers, RESTARTS)
    shown, working = {trial.number for trial in read_trials(config.trials_directory)}, True
    with progress_bar(console) as progress:
        bar = progress.add_task("trials", total=config.trials)
        running = {name: _start(config, environment) for name, environment in environments.items()}
        try:
            while working:
                time.sleep(POLL)
                working = any(running[name].poll() is None for name in workers)
                for name, process in running.items():
                    if process.poll() and process.returncode < 0 and restarts.get(name):
                        restarts[name] -= 1
                        running[name], working = _start(config, environments[name]), True
                    elif process.returncode:
                        check_room(Path(config.out))
                        raise ChildProcessError(
                            f"expected every process of the search to succeed. Received: {name} with exit code "
                            f"{process.returncode}, {_last_line(_log(config, name))}"
                        )
                _show(config, progress, shown)
                progress.update(bar, completed=len(shown))
        finally:
            _stop([running[name] for name in workers])  # before the chief, which checks only every 20 s whether to end
            _stop([running[CHIEF]])


def _environments(workers: list[str]) -> dict[str, dict[str, str]]:
    cores = str(max(1, (os.cpu_count() or 1) // len(workers)))
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), cores)
    shared_gpus = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = str(free.getsockname()[1])
    protocol = {"KERASTUNER_ORACLE_IP": HOST, "KERASTUNER_ORACLE_PORT": port, "no_grpc_proxy": HOST}
    common = threads | shared_gpus | os.environ | protocol
    common.pop("TF_CONFIG", None)  # for one training on a cluster, which a search is not
    gpus, own = _gpus(), {CHIEF: {"CUDA_VISIBLE_DEVICES": ""}}
    for number, name in enumerate(workers):
        own[name] = {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}
    return {name: common | variables | {"KERASTUNER_TUNER_ID": name} for name, variables in own.items()}


def _gpus() -> list[str]:
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(number) for number, _ in enumerate(GPUS.glob("*"))]
    return [name for name in named.split(",") if name]


def _start(config: TuneConfig, environment: dict[str, str]) -> subprocess.Popen:
    log = _log(config, environment["KERASTUNER_TUNER_ID"])
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "keras_mgnet.training.search.trial_tuner", config.record],
            env=environment,
            stdin=subprocess.PIPE,  # closes when this process ends, which tells the child to end
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only this process, which ends the others in order
        )


def _stop(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdin.close()


def _log(config: TuneConfig, name: str) -> Path:
    return Path(config.out) / "logs" / f"{name}.log"


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "no output")


def _show(config: TuneConfig, progress: Progress, shown: set[int]) -> None:
    """Prints a line for each trial that has ended since the last call, and adds its number to `shown`."""
    for trial in sorted(read_trials(config.trials_directory), key=lambda trial: trial.number):
        if trial.number not in shown:
            shown.add(trial.number)
            line = f"trial {trial.number:>3}  accuracy {trial.accuracy:7.2%}  {trial.params:>10,} parameters"
            progress.console.out(f"{line}  {trial.seconds:>5.0f} s  {trial.label}", highlight=False)
