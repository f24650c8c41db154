"""Imports have no tricks: what a name gives does not depend on what was imported before, and Keras finds our classes."""

import ast
import importlib
import json
import os
import subprocess
import sys
import zipfile
from itertools import cycle
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

import keras_mgnet
from keras_mgnet import MgNet
from keras_mgnet.layers import Norm
from keras_mgnet.metrics import PSNR, Accuracy, accuracy, psnr, top5_accuracy
from keras_mgnet.models import Frame, ImageFrame
from keras_mgnet.optimizers import SGD
from keras_mgnet.recipes import RECIPES, recipe
from keras_mgnet.schedules import SCHEDULES, schedule
from support.package import MODULES, PACKAGES, classes

ORDERS = (
    "import keras_mgnet, keras",
    "import keras_mgnet.layers, keras",
    "import keras, keras_mgnet",
    "import keras_mgnet.serving.client, keras",
    "from keras_mgnet import MgNet; import keras",
    "import keras, keras_mgnet.layers.operators.conv",
    "import keras, keras_mgnet.training.loop.config",
    "import keras_mgnet.models, keras",
)
STEPS = 10  # of an epoch
LOADS = """
import json, sys
model = keras.saving.load_model(sys.argv[1])
parts = map(keras.saving.deserialize_keras_object, json.loads(sys.argv[2]))
print([type(part).__name__ for part in (model, *parts)])
print(sorted(name for name in keras.saving.get_custom_objects() if name.startswith("keras_mgnet>")))
"""


def output(program, *arguments, **environment):
    command = [
        sys.executable,
        "-W",
        "error::UserWarning",
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        program,
        *arguments,
    ]
    result = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A file with a schedule, and objects of every other kind as JSON."""
    model = MgNet(nu=(1,), channels=2, input_shape=(8, 8, 1))
    rate = recipe("modern").schedule(1)
    model.optimizer.learning_rate = rate
    model.fit(np.ones((4, 8, 8, 1)), np.zeros(4), verbose=0)
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model.save(path)
    return str(path), json.dumps(
        [keras.saving.serialize_keras_object(x) for x in (Norm(), model.optimizer, rate, PSNR())]
    )


def check_loaded(loaded, registered):
    assert loaded == "['MgNet', 'Norm', 'SGD', 'WarmUp', 'PSNR']"
    names = map(keras.saving.get_registered_name, (*classes(), accuracy, psnr, top5_accuracy))
    assert registered == str(sorted({name for name in names if name.startswith("keras_mgnet>")}))


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_keras_loads_our_classes(order, saved):
    check_loaded(*output(order + LOADS, *saved, KERAS_BACKEND="numpy"))


def test_keras_loads_every_kind_of_file_without_the_training_package(saved, tmp_path):
    """A file of every recipe, and among them all schedules, losses and metrics, by a process that imports only our package.

    One of them is also there as it was written before the schedules moved, with the name of their old module.
    """
    schedules = [schedule(name, 0.1, 9, (5,), warmup) for name in SCHEDULES for warmup in (0, 3)]
    losses, metrics = [Frame().loss(), ImageFrame().loss()], [Accuracy(), PSNR(), accuracy, psnr]
    model = MgNet(nu=(1,), channels=2, input_shape=(8, 8, 1))
    for row, rate, loss, metric in zip(RECIPES, *map(cycle, (schedules, losses, metrics)), strict=False):
        model.compile(RECIPES[row].optimizer(rate), loss, metrics=[metric])
        model.save(tmp_path / f"{row}.keras")
    model.compile(SGD(recipe("modern").schedule(STEPS, epochs=200)), model.loss)
    model.optimizer.build(model.trainable_variables)
    model.optimizer.iterations.assign(1)
    model.save(tmp_path / "now.keras")
    with zipfile.ZipFile(tmp_path / "now.keras") as now, zipfile.ZipFile(tmp_path / "before.keras", "w") as before:
        for name in now.namelist():
            content = now.read(name)
            assert name != "config.json" or b'"keras_mgnet.schedules"' in content
            before.writestr(name, content.replace(b'"keras_mgnet.schedules"', b'"keras_mgnet.training.schedule"'))
    program = """
import pathlib
models = {file.stem: keras.saving.load_model(file) for file in pathlib.Path(sys.argv[3]).iterdir()}
print(len([model.get_compile_config() for model in models.values()]))
print(*(float(models[name].optimizer.learning_rate) for name in ("now", "before")))
print("keras_mgnet.training" in sys.modules)
"""
    *first, count, rates, training = output(ORDERS[1] + LOADS + program, *saved, str(tmp_path), KERAS_BACKEND="numpy")
    check_loaded(*first)
    assert (count, training) == (str(len(RECIPES) + 2), "False")
    np.testing.assert_allclose([*map(float, rates.split())], 0.1 * 2 / (5 * STEPS), rtol=1e-3)


def test_importing_the_library_loads_nothing_else_and_no_command_needs_keras_tuner():
    program = """
import sys
import keras_mgnet
print({name.partition(".")[0] for name in sys.modules} & {"keras", "tensorflow", "jax", "numpy", "h5py"})
sys.meta_path.pop(0)  # would load `keras_mgnet.models` with Keras
import keras
before = set(sys.modules)
import keras_mgnet.models
loaded = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)
print(loaded, {"keras_mgnet.training", "keras_mgnet.export", "tensorflow"} & set(sys.modules))

sys.modules["keras_tuner"] = None
import keras_mgnet.cli
for commands in keras_mgnet.cli.GROUPS.values():
    keras_mgnet.cli.command_line(commands)
try:
    keras_mgnet.HyperMgNet
except ImportError as error:
    print(error)
"""
    *loaded, error = output(program, KERAS_BACKEND="numpy")
    assert loaded == ["set()", "{'keras_mgnet'} set()"]
    assert "expected 'keras_tuner': install it with `pip install 'keras-mgnet[tune]'`" in error


def test_without_a_backend_the_first_use_names_the_choices():
    def execute(module):
        raise ModuleNotFoundError("No module named 'jax'", name="jax")

    choices = (
        r"pip install 'keras-mgnet\[tensorflow\]'.* jax or torch .*KERAS_BACKEND.* Received: No module named 'jax'"
    )
    with pytest.raises(ImportError, match=choices):
        keras_mgnet._WithKeras().load(execute, ModuleType("keras"))
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'jax'$"):
        keras_mgnet._WithKeras().load(execute, ModuleType("keras_mgnet.a"))


def offered(package):
    """The names that a package takes from its modules, as its `__init__` or the stub of it says."""
    folder = Path(importlib.import_module(package).__file__).parent
    source = next(filter(Path.is_file, (folder / "__init__.pyi", folder / "__init__.py")))
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module not in (None, package):
            yield from (alias.asname or alias.name for alias in node.names)


def test_no_module_has_the_name_of_something_that_its_package_offers():
    """`import keras_mgnet.description as d` would give a function that the package has under this name."""
    offers = {f"{package}.{name}" for package in PACKAGES for name in offered(package)}
    assert "keras_mgnet.describe" in offers and offers & set(MODULES) == set()
