"""The three servers as data, the choice between them, and their start."""

import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from keras_mgnet.errors import unknown
from keras_mgnet.export.tfserving import MOUNT
from keras_mgnet.serving.engine import ARTIFACTS, SAVED_MODEL
from keras_mgnet.serving.versions import scan

LOOPBACK = "127.0.0.1"
EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # and where clients of the same machine find it
BINARY, IMAGE = "tensorflow_model_server", "tensorflow/serving"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
DOCKER_ANSWERS_WITHIN = 5  # seconds
CURL = (
    """(echo '{{"signature_name": "serving_bytes", "instances": [{{"image_bytes": {{"b64": "'; base64 < cat.jpg; """
    """echo '"}}}}]}}') | tr -d '\\n' | curl -d @- {url}:predict"""
)
CONFIG_FLAGS = {  # file of the base folder -> what makes TensorFlow Serving read it
    "batching.config": ("--enable_batching=true", "--batching_parameters_file={path}"),
    "monitoring.config": ("--monitoring_config_file={path}",),
}


@dataclass(frozen=True)
class Service:
    """What is served, and where.

    Attributes:
        base: folder of versions, each BASE/<number>/saved_model.pb or BASE/<number>/model.onnx; or an .onnx file.
        name: of the model in URLs.
        host: IP address to listen on.
        rest_port, grpc_port: of the two protocols.
        max_request_bytes: largest request that the embedded server takes.
    """

    base: Path
    name: str
    host: str = LOOPBACK
    rest_port: int = 8501
    grpc_port: int = 8500
    max_request_bytes: int = 16 * 2**20

    @property
    def url(self) -> str:
        """Where clients of this machine find the model."""
        return f"http://{bracketed(EVERYWHERE.get(self.host, self.host))}:{self.rest_port}/v1/models/{self.name}"

    def check(self) -> None:
        """Raises ValueError for what cannot be served, or cannot be so, and OSError where a port is taken."""
        if not (self.base.suffix == ".onnx" and self.base.is_file()) and not (self.base.is_dir() and scan(self.base)):
            raise ValueError(
                f"expected an .onnx file, or a folder with {' or '.join(f'<number>/{name}' for name in ARTIFACTS)}. "
                f"Received: '{self.base}'"
            )
        if not NAME.fullmatch(self.name):
            raise ValueError(f"expected a name of letters, digits, '.', '_' and '-'. Received: {self.name!r}")
        try:
            ip_address(self.host)
        except ValueError:
            raise ValueError(f"expected an IP address such as {LOOPBACK}. Received: {self.host!r}") from None
        if self.rest_port == self.grpc_port:
            raise ValueError(f"expected two ports that differ. Received: {self.rest_port} for REST and for gRPC")
        for port in (self.rest_port, self.grpc_port):
            _check_free(self.host, port)

    @property
    def is_savedmodel(self) -> bool:
        """Whether the newest version is what TensorFlow Serving takes."""
        versions = scan(self.base)
        return (versions[max(versions)].path / SAVED_MODEL).is_file()


@dataclass(frozen=True)
class Server:
    """One way to serve.

    Attributes:
        obstacle: why it cannot serve a service on this machine; None where it can.
        command: the command line that does; None for the embedded server, which runs in this process.
        summary: what it is, in a few words.
    """

    obstacle: Callable[[Service], str | None]
    command: Callable[[Service], list[str]] | None
    summary: str


def choose(service: Service, wanted: str = "auto") -> tuple[str, list[str]]:
    """Returns the first server that can serve, and why those before it cannot.

    Args:
        service: what is served.
        wanted: a key of `SERVERS`, or "auto".

    Raises:
        ValueError: where `wanted` is unknown or has an obstacle.

    Example:
        >>> choose(Service(Path("exported"), "mgnet"), "embedded")
        ('embedded', [])
    """
    if wanted not in (*SERVERS, "auto"):
        raise unknown("server", wanted, ["auto", *SERVERS])
    skipped = []
    for name in SERVERS if wanted == "auto" else [wanted]:
        obstacle = SERVERS[name].obstacle(service)
        if obstacle is None:
            return name, skipped
        skipped.append(f"{name}: {obstacle}")
    raise ValueError(f"expected a server that can serve '{service.base}'. Received: {skipped[0]}")


def launch(service: Service, wanted: str, say: Callable[[str], None]) -> None:
    """Serves until stopped. A server of its own takes the place of this process: signals and exit code are its own.

    Raises:
        ValueError, OSError: before anything is started, where the service cannot be served so.
    """
    service.check()
    name, skipped = choose(service, wanted)
    for reason in skipped:
        say(f"not by {reason}")
    say(f"{service.url} by {name}: {SERVERS[name].summary}. Try:")
    say(f"  keras-mgnet predict --server {service.url} cat.jpg")
    say(f"  {CURL.format(url=service.url)}")
    command = SERVERS[name].command
    if command is None:
        _embedded(service)
    else:
        words = command(service)
        say(shlex.join(words))
        os.execvp(words[0], words)


def tensorflow_serving_flags(service: Service, base: Path) -> list[str]:
    """Returns the flags of tensorflow_model_server that finds at `base` what lies in the folder of the service."""
    flags = [f"--model_name={service.name}", f"--model_base_path={base}"]
    for file, templates in CONFIG_FLAGS.items():
        if (service.base / file).is_file():
            flags += [template.format(path=base / file) for template in templates]
    return flags


def _binary_command(service: Service) -> list[str]:
    ports = [f"--port={service.grpc_port}", f"--rest_api_port={service.rest_port}"]
    shared_port = "--grpc_channel_arguments=grpc.so_reuseport=0"  # else two servers share a port without a word
    return [BINARY, *ports, shared_port, *tensorflow_serving_flags(service, service.base.resolve())]


def _docker_command(service: Service) -> list[str]:
    inside = Path(MOUNT, service.name)
    ports = {service.grpc_port: 8500, service.rest_port: 8501}
    published = [f"--publish={bracketed(service.host)}:{outside}:{port}" for outside, port in ports.items()]
    mount = f"--mount=type=bind,source={service.base.resolve()},target={inside},readonly"
    # The image's own entry point is a shell that passes no signal on, and process 1 of a container ignores SIGTERM.
    run = ["docker", "run", "--rm", "--init", *published, mount, f"--entrypoint={BINARY}", IMAGE]
    return [*run, "--port=8500", "--rest_api_port=8501", *tensorflow_serving_flags(service, inside)]


def _embedded(service: Service) -> None:
    from keras_mgnet.serving.server import serve

    serve(
        service.base,
        name=service.name,
        host=service.host,
        rest_port=service.rest_port,
        grpc_port=service.grpc_port,
        max_request_bytes=service.max_request_bytes,
    )


def _binary_obstacle(service: Service) -> str | None:
    if shutil.which(BINARY) is None:
        return "not installed"
    if service.host not in EVERYWHERE:
        return f"listens on every address and cannot be told otherwise, which needs --host {next(iter(EVERYWHERE))}"
    return _format_obstacle(service)


def _docker_obstacle(service: Service) -> str | None:
    return _format_obstacle(service) or (None if _docker_answers() else "no Docker daemon answers")


def _format_obstacle(service: Service) -> str | None:
    return None if service.is_savedmodel else "takes SavedModels alone"


def _docker_answers() -> bool:
    try:
        asked = subprocess.run(
            ["docker", "info"], stdin=subprocess.DEVNULL, capture_output=True, timeout=DOCKER_ANSWERS_WITHIN
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


def default_name(base: Path) -> str:
    """Returns the name of the model in a folder of versions or an .onnx file.

    Example:
        >>> default_name(Path("exported/digits/"))
        'digits'
    """
    return base.stem if base.is_file() else base.resolve().name


def bracketed(host: str) -> str:
    """Returns an address as URLs have it, with brackets around IPv6."""
    return f"[{host}]" if ":" in host else host


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"expected a free port to listen on. Received: {host}:{port} ({error.strerror})") from error


SERVERS = {  # in the order in which "auto" tries them
    BINARY: Server(_binary_obstacle, _binary_command, "TensorFlow Serving, as installed"),
    "docker": Server(_docker_obstacle, _docker_command, "TensorFlow Serving, in a container"),
    "embedded": Server(
        lambda service: None, None, "KServe's server in this process, without the gRPC PredictionService"
    ),
}
