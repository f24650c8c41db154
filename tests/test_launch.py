"""`keras-mgnet serve`: which server is chosen, its exact command line, and that its process is the server's.

TensorFlow Serving and a Docker daemon are on no machine that runs these tests. Their executables are doubles here, on a
PATH of their own: `tensorflow_model_server` and `docker` write down their arguments, answer `docker info`, and wait for a
signal. What is tested is our side: the choice, the flags, the signals and the exit code. The embedded server is real.
"""

import json
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from kserve import models as kserve_models

from keras_mgnet.serving.launch import BINARY, SERVERS, Service, choose, tensorflow_serving_flags

KERAS_MGNET = Path(sys.executable).with_name("keras-mgnet")
DEPLOY = ROOT / "docs" / "deploy"
DOUBLE = f"""#!{sys.executable}
import json, os, signal, sys
if sys.argv[1:] == ["info"]:
    sys.exit(int(os.environ.get("DOCKER_INFO", "0")))
signal.signal(signal.SIGTERM, lambda *caught: sys.exit(7))
with open(os.environ["RECORD"] + ".part", "w") as file:
    json.dump({{"argv": sys.argv, "pid": os.getpid()}}, file)
os.rename(os.environ["RECORD"] + ".part", os.environ["RECORD"])
if "--model_name=ends" in sys.argv:
    sys.exit(3)
signal.pause()
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """An empty PATH; returns a function that puts a double on it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))

    def install(name):
        (folder / name).write_text(DOUBLE)
        (folder / name).chmod(0o755)

    return install


def exported(folder, artifact="saved_model.pb", versions=(1,)):
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
        (folder / str(version) / artifact).touch()
    return folder


def free_ports():
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def serve(*arguments):
    """Starts `keras-mgnet serve` on two free ports, which it returns too."""
    rest, grpc = free_ports()
    words = [KERAS_MGNET, "serve", *arguments, "--rest-port", rest, "--grpc-port", grpc]
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, rest, grpc


def recorded(tmp_path, process):
    deadline = time.monotonic() + 60
    while not (tmp_path / "record").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    return json.loads((tmp_path / "record").read_text())


# the choice


@pytest.mark.parametrize(
    ("installed", "docker_info", "host", "artifact", "expected"),
    [
        ([BINARY, "docker"], 0, "0.0.0.0", "saved_model.pb", BINARY),
        ([BINARY, "docker"], 0, "127.0.0.1", "saved_model.pb", "docker"),  # the binary cannot keep to the loopback
        ([BINARY], 0, "127.0.0.1", "saved_model.pb", "embedded"),
        (["docker"], 1, "127.0.0.1", "saved_model.pb", "embedded"),  # a client without its daemon
        ([], 0, "0.0.0.0", "saved_model.pb", "embedded"),
        ([BINARY, "docker"], 0, "0.0.0.0", "model.onnx", "embedded"),
    ],
)
def test_auto_takes_the_first_that_can(path, tmp_path, monkeypatch, installed, docker_info, host, artifact, expected):
    for name in installed:
        path(name)
    monkeypatch.setenv("DOCKER_INFO", str(docker_info))
    service = Service(exported(tmp_path / "base", artifact), "mgnet", host)

    name, skipped = choose(service)

    assert name == expected
    assert [reason.partition(":")[0] for reason in skipped] == [*SERVERS][: [*SERVERS].index(expected)]


def test_a_daemon_that_hangs_is_none(path, tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    (folder / "docker").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (folder / "docker").chmod(0o755)
    monkeypatch.setattr("keras_mgnet.serving.launch.DOCKER_ANSWERS_WITHIN", 0.2)
    name, skipped = choose(Service(exported(tmp_path / "base"), "mgnet"))
    assert name == "embedded" and skipped[-1] == "docker: no Docker daemon answers"


def test_the_newest_version_says_what_is_served(path, tmp_path):
    path("docker")
    base = exported(exported(tmp_path / "base", versions=(2, 9)), "model.onnx", versions=(10,))
    assert choose(Service(base, "mgnet"))[0] == "embedded"
    exported(base, versions=(11,))
    assert choose(Service(base, "mgnet"))[0] == "docker"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (BINARY, "needs --host 0.0.0.0"),
        ("docker", "no Docker daemon answers"),
        ("dokcer", "did you mean 'docker'"),
    ],
)
def test_a_server_that_cannot_is_refused_when_asked_for(path, tmp_path, wanted, message):
    path(BINARY)
    with pytest.raises(ValueError, match=message):
        choose(Service(exported(tmp_path / "base"), "mgnet"), wanted)


# what is started


def test_tensorflow_serving_gets_these_flags_signals_and_exit_codes(path, tmp_path):
    path(BINARY)
    base = exported(tmp_path / "base")
    (base / "batching.config").touch()

    process, rest, grpc = serve(base, "--name", "mgnet", "--host", "0.0.0.0")
    record = recorded(tmp_path, process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)

    assert record["pid"] == process.pid  # it took the place of our process
    assert record["argv"][1:] == [
        f"--port={grpc}",
        f"--rest_api_port={rest}",
        "--grpc_channel_arguments=grpc.so_reuseport=0",
        "--model_name=mgnet",
        f"--model_base_path={base}",
        "--enable_batching=true",
        f"--batching_parameters_file={base}/batching.config",
    ]
    assert process.returncode == 7 and errors == ""
    assert f"http://127.0.0.1:{rest}/v1/models/mgnet" in output
    assert shlex.split(output.splitlines()[-1]) == [BINARY, *record["argv"][1:]]  # exactly what was printed


def test_docker_publishes_to_the_loopback_and_mounts_read_only(path, tmp_path):
    path("docker")
    base = exported(tmp_path / "base")
    (base / "monitoring.config").touch()

    process, rest, grpc = serve(base, "--name", "mgnet")
    record = recorded(tmp_path, process)
    process.terminate()
    process.communicate(timeout=60)

    assert record["argv"][1:] == [
        "run",
        "--rm",
        "--init",
        f"--publish=127.0.0.1:{grpc}:8500",
        f"--publish=127.0.0.1:{rest}:8501",
        f"--mount=type=bind,source={base},target=/models/mgnet,readonly",
        "--entrypoint=tensorflow_model_server",
        "tensorflow/serving",
        "--port=8500",
        "--rest_api_port=8501",
        "--model_name=mgnet",
        "--model_base_path=/models/mgnet",
        "--monitoring_config_file=/models/mgnet/monitoring.config",
    ]
    assert process.returncode == 7


def test_the_exit_code_is_the_server_s(path, tmp_path):
    path(BINARY)
    process, *_ = serve(exported(tmp_path / "ends"), "--host", "0.0.0.0")
    process.communicate(timeout=60)
    assert process.returncode == 3


def test_ipv6_gets_its_brackets(tmp_path):
    service = Service(exported(tmp_path / "base"), "mgnet", host="::1")
    assert service.url == "http://[::1]:8501/v1/models/mgnet"
    assert "--publish=[::1]:8500:8500" in SERVERS["docker"].command(service)


# what is refused before anything starts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "expected an .onnx file, or a folder with <number>/saved_model.pb"),
        (["empty"], "or <number>/model.onnx. Received: 'empty'"),
        (["half"], "Received: 'half'"),
        (["base", "--name", "a/b"], "expected a name of letters"),
        (["base", "--host", "localhost"], "expected an IP address such as 127.0.0.1"),
        (["base", "--rest-port", "8500"], "expected two ports that differ"),
        (["base", "--with", BINARY], "not installed"),
    ],
)
def test_refusals_are_one_line(path, tmp_path, arguments, message):
    exported(tmp_path / "base")
    (tmp_path / "empty").mkdir()
    (tmp_path / "half" / "1" / "variables").mkdir(parents=True)
    path("docker")
    result = subprocess.run([KERAS_MGNET, "serve", *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert message in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "record").exists()


def test_a_taken_port_is_refused(path, tmp_path):
    path("docker")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = Service(exported(tmp_path / "base"), "mgnet", rest_port=taken.getsockname()[1])
        with pytest.raises(
            OSError, match=rf"expected a free port to listen on. Received: 127.0.0.1:{service.rest_port}"
        ):
            service.check()


def test_serving_loads_no_tensorflow_before_it_knows_what_to_serve():
    code = "import sys, keras_mgnet.cli.serve; print(sorted({'tensorflow', 'keras', 'kserve'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


# the manifests, which nothing here can run


def manifest(name):
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def test_compose_starts_what_serve_would(tmp_path):
    (compose,) = manifest("compose.yaml")
    (service,) = compose["services"].values()
    base = exported(tmp_path / "base")
    for file in ("batching.config", "monitoring.config"):
        (base / file).touch()
    flags = tensorflow_serving_flags(Service(base, "${NAME}"), Path("/models/${NAME}"))
    assert {flag for flag in flags if "--model_" not in flag} <= {*service["command"]}
    assert "--model_config_file=/models/${NAME}/models.config" in service["command"]
    assert service["image"].partition(":")[0] == "tensorflow/serving"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert [volume["read_only"] for volume in service["volumes"]] == [True]


def test_inference_services_have_kserve_s_fields():
    """Every key is one that KServe's own client knows, and every value has the type that it wants."""
    savedmodel, onnx = manifest("inferenceservice.yaml")
    for service in (savedmodel, onnx):
        unknown_fields = list(foreign_keys(service, "V1beta1InferenceService"))
        assert unknown_fields == []
        predictor = service["spec"]["predictor"]
        assert predictor["scaleMetric"] == "concurrency" and predictor["minReplicas"] < predictor["maxReplicas"]
    assert savedmodel["spec"]["predictor"]["model"]["modelFormat"]["name"] == "tensorflow"
    assert onnx["spec"]["predictor"]["containers"][0]["args"][0] == "serve"


def test_a_misspelt_field_would_be_found():
    spec = {"spec": {"predictor": {"minReplica": 1, "model": {"modelFormat": {"nam": "tensorflow"}}}}}
    found = ["V1beta1PredictorSpec.minReplica", "V1beta1ModelFormat.nam"]
    assert list(foreign_keys(spec, "V1beta1InferenceService")) == found


def foreign_keys(content, kind):
    model = getattr(kserve_models, kind, None)
    if model is None:  # a type of Kubernetes or Python
        return
    fields = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
    for key, value in content.items():
        if key not in fields:
            yield f"{kind}.{key}"
        elif isinstance(value, dict):
            yield from foreign_keys(value, fields[key])
        elif fields[key] in ("int", "str"):
            assert isinstance(value, {"int": int, "str": str}[fields[key]]), (kind, key, value)
