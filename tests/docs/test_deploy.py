"""The manifests of docs/deploy, which nothing here can run, held against what is served and against published schemas."""

import ast
import subprocess
import sys
import zipfile
from importlib.metadata import version

import pytest

from keras_mgnet.export.tfserving import MOUNT, config_files
from support.pages import DEPLOY, manifest


def test_compose_mounts_a_model_where_its_configuration_says():
    (compose,) = manifest("compose.yaml")
    (service,) = compose["services"].values()
    minor = version("tensorflow-serving-api").rpartition(".")[0]
    assert service["image"].startswith(f"tensorflow/serving:${{TENSORFLOW_SERVING:-{minor}.")
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    (volume,) = service["volumes"]
    assert volume["target"] == f"{MOUNT}/${{NAME}}" and volume["read_only"]
    files = config_files("${NAME}")
    assert f'base_path: "{volume["target"]}"' in files["models.config"]
    read = [word.partition("=")[2] for word in service["command"] if word.endswith(".config")]
    assert {path.removeprefix(f"{volume['target']}/") for path in read} == files.keys()


def test_the_image_runs_as_a_user_by_number():
    """Kubernetes can tell only a number from root (runAsNonRoot)."""
    *_, build, user, _, start = (DEPLOY / "Dockerfile").read_text().splitlines()
    assert "useradd --uid 1000" in build and user == "USER 1000" and start.startswith("ENTRYPOINT")
    (job,) = manifest("tfjob.yaml")
    pod = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "fsGroup": 1000}


def test_inference_services_start_what_exists():
    savedmodel, onnx = manifest("inferenceservice.yaml")
    assert savedmodel["spec"]["predictor"]["model"]["modelFormat"]["name"] == "tensorflow"
    (container,) = onnx["spec"]["predictor"]["containers"]
    assert container["args"][0] == "serve" and "--host=0.0.0.0" in container["args"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


@pytest.fixture(scope="module")
def kserve(tmp_path_factory):
    """The fields of KServe's resources, {kind: {field: type}}, read from its client without installing it."""
    folder = tmp_path_factory.mktemp("kserve")
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), "kserve>=0.15"]
    if subprocess.run(download, capture_output=True).returncode:
        pytest.skip("KServe's client cannot be downloaded")
    kinds = {}
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        for name in wheel.namelist():
            if name.startswith("kserve/models/v1"):
                kinds |= _fields(ast.parse(wheel.read(name)))
    return kinds


def _fields(module):
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            said = {
                part.targets[0].id: ast.literal_eval(part.value) for part in node.body if isinstance(part, ast.Assign)
            }
            return {node.name: {key: said["openapi_types"][field] for field, key in said["attribute_map"].items()}}
    return {}


def foreign_fields(content, kind, kinds):
    """Yields the fields of a resource that its kind does not have, or that are of another type."""
    for key, value in content.items():
        type_ = kinds[kind].get(key)
        if type_ is None or (type_ in ("int", "str") and not isinstance(value, {"int": int, "str": str}[type_])):
            yield f"{kind}.{key}"
        elif type_ in kinds:
            yield from foreign_fields(value, type_, kinds)


@pytest.mark.slow
def test_inference_services_have_kserve_s_fields(kserve):
    for service in manifest("inferenceservice.yaml"):
        assert list(foreign_fields(service, "V1beta1InferenceService", kserve)) == []
    misspelt = {"spec": {"predictor": {"minReplica": 1, "model": {"modelFormat": {"nam": "tensorflow"}}}}}
    found = ["V1beta1PredictorSpec.minReplica", "V1beta1ModelFormat.nam"]
    assert list(foreign_fields(misspelt, "V1beta1InferenceService", kserve)) == found
