"""The manifests of docs/deploy, which nothing here can run, held against what is served and against published schemas."""

import ast
import importlib
import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version

import pytest
from packaging.version import Version

from keras_mgnet.export.tfserving import MOUNT, config_files
from support.pages import DEPLOY, manifest


def test_compose_mounts_a_model_where_its_configuration_says():
    (compose,) = manifest("compose.yaml")
    (service,) = compose["services"].values()
    image, default = service["image"].rstrip("}").split(":-")
    assert image == "tensorflow/serving:${TENSORFLOW_SERVING"
    assert Version(default).release[:2] >= Version(version("tensorflow-serving-api")).release[:2]
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
    (job,), (runtime, _) = manifest("tfjob.yaml"), manifest("trainjob.yaml")
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    for pod in (job["spec"]["tfReplicaSpecs"]["Worker"]["template"], node["template"]["spec"]["template"]):
        assert pod["spec"]["securityContext"] == {"runAsNonRoot": True, "fsGroup": 1000}


def test_the_pods_of_a_trainjob_find_each_other(tmp_path):
    """The command of the pod runs in a shell, with a program in place of ours."""
    runtime, job = manifest("trainjob.yaml")
    trainer, name = job["spec"]["trainer"], job["metadata"]["name"]
    assert job["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    (tmp_path / "keras-mgnet").write_text('#!/bin/sh\necho "$TF_CONFIG"; echo "$@"\n')
    (tmp_path / "keras-mgnet").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": "1"}
    shown = subprocess.run([*trainer["command"], *trainer["args"]], env=environment, capture_output=True, text=True)
    cluster, words = shown.stdout.splitlines()
    workers = [f"{name}-node-0-{i}.{name}:2222" for i in range(trainer["numNodes"])]
    assert json.loads(cluster) == {"cluster": {"worker": workers}, "task": {"type": "worker", "index": 1}}
    assert words.startswith("train cifar10 ") and words.endswith(" --resume")


def test_inference_services_start_what_exists():
    savedmodel, onnx = manifest("inferenceservice.yaml")
    assert savedmodel["spec"]["predictor"]["model"]["modelFormat"]["name"] == "tensorflow"
    (container,) = onnx["spec"]["predictor"]["containers"]
    assert container["args"][0] == "serve" and "--host=0.0.0.0" in container["args"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"


def wheel_of(package, folder):
    """Returns the path of a wheel, without installing it."""
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), package]
    if subprocess.run(download, capture_output=True).returncode:
        pytest.skip(f"{package} cannot be downloaded")
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def kserve(tmp_path_factory):
    """The fields of KServe's resources, {kind: {field: type}}, read from its client."""
    kinds = {}
    with zipfile.ZipFile(wheel_of("kserve>=0.15", tmp_path_factory.mktemp("kserve"))) as wheel:
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


@pytest.mark.slow
def test_a_trainjob_has_kubeflow_s_fields(tmp_path, monkeypatch):
    """Fields that are unknown, or of a wrong type, do not come back from Kubeflow's own classes."""
    monkeypatch.syspath_prepend(wheel_of("kubeflow-trainer-api>=2.3", tmp_path))
    kinds = importlib.import_module("kubeflow_trainer_api.models")
    runtime, job = manifest("trainjob.yaml")
    for kind, content in ((kinds.TrainerV1alpha1TrainingRuntime, runtime), (kinds.TrainerV1alpha1TrainJob, job)):
        assert kind.from_dict(content).to_dict() == content
    job["spec"]["trainer"]["numNode"] = 3
    assert kinds.TrainerV1alpha1TrainJob.from_dict(job).to_dict() != job
