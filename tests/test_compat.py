"""Private names of other packages stand in keras_mgnet/compat.py alone, each with the version on which it was tried."""

import ast
import inspect
import re
import textwrap
import tomllib
from functools import cache

import keras
from packaging.requirements import Requirement

from keras_mgnet import compat
from support import ROOT
from support.package import classes

FOLDERS = ("keras_mgnet", "training", "export")
SOURCES = sorted({path.resolve() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")})
PUBLIC = {"_asdict", "_replace", "_fields", "os._exit"}  # documented, of named tuples and of Python
PRIVATE_PACKAGES = re.compile(r"(keras|keras_tuner|jax)\.(_?src)\b|(tf|tensorflow)\.(python|__internal__)\b")
OWN = ("self", "cls", "super()")
VERSIONS = {"Keras": "keras", "TensorFlow": "tensorflow", "KerasTuner": "keras-tuner"}


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def used(tree):
    """Yields (owner, attribute) of every attribute in a source, and (module, its first private part or "") of its imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node.value), node.attr
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
            owner, name = node.args[:2]
            if isinstance(name, ast.Constant):
                yield ast.unparse(owner), name.value
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                path = f"{getattr(node, 'module', None) or ''}.{alias.name}".lstrip(".")
                yield path, next(filter(is_private, path.split(".")), "")


def defined(tree):
    """The private names that a source gives to its own functions, classes, variables and objects."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
            case ast.Call(
                func=ast.Attribute(attr="__setattr__"), args=[ast.Name(id="self"), ast.Constant(value=name), _]
            ):
                names.add(name)
    return set(filter(is_private, names))


def foreign(tree, ours):
    """The private names of other packages in a source, by those that are `ours`."""
    for owner, name in used(tree):
        path = f"{owner}.{name}"
        known = (owner in OWN and name in ours) or {name, path} & PUBLIC
        if PRIVATE_PACKAGES.match(path) or (is_private(name) and not known):
            yield path


@cache
def private_names(cls):
    """The private names that a class has, uses or gives to its objects."""
    names = {name for name in vars(cls) if is_private(name)}
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):  # written in C
        return names
    return names | {name for owner, name in used(tree) if owner in OWN and is_private(name)}


def is_ours(cls):
    return cls.__module__.startswith("keras_mgnet")


def test_no_private_names_of_other_packages():
    trees = {path: ast.parse(path.read_text()) for path in SOURCES}
    ours = set().union(*map(defined, trees.values()))
    found = {str(path): list(foreign(tree, ours)) for path, tree in trees.items() if path.name != "compat.py"}
    assert {path: names for path, names in found.items() if names} == {}


def shared_names(cls):
    """The private names that a class has in common with the classes of other packages that it extends."""
    bases = (base for base in cls.__mro__ if not is_ours(base) and base is not cls)
    return sorted(private_names(cls) & set().union(*map(private_names, bases)) - {"_abc_impl", "_is_protocol"})


def test_our_private_names_are_not_those_of_the_classes_we_extend():
    """`self._x` of a subclass is the base's where the base has it too: neither overridden nor used nor hidden by chance."""
    found = {f"{cls.__module__}.{cls.__name__}": shared_names(cls) for cls in classes()}
    assert {name: shared for name, shared in found.items() if shared} == {}


def test_a_name_of_a_base_is_found():
    class Up(keras.metrics.MeanMetricWrapper):
        def __init__(self):
            super().__init__(keras.losses.mean_squared_error)
            self._direction = "up"

    class Kept(keras.optimizers.SGD):
        def _update_model_variables_moving_average(self, trainable_variables):
            self._own = self.momentum

    assert shared_names(Up) == ["_direction"]
    assert shared_names(Kept) == ["_update_model_variables_moving_average"]


def test_foreign_names_are_found():
    """The rule itself: each line has a private name of another package, but for the last two."""
    lines = (
        "model._flatten_layers()",
        "self._remat_mode",
        "super()._get_variable_index(v)",
        "setattr(metric, '_direction', 'up')",
        "from tensorflow.python.util import tf_inspect",
        "import keras.src.layers",
        "tf.__internal__.decorator",
        "from jax._src import core",
        "self._own + row._replace(a=1)._asdict()",
        "os._exit(1)",
    )
    assert [any(foreign(ast.parse(line), {"_own"})) for line in lines] == [True] * 8 + [False] * 2


def test_compat_is_a_page_that_says_what_was_tried():
    assert len((ROOT / "keras_mgnet" / "compat.py").read_text().splitlines()) <= 150
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["tensorflow"], *extras["tune"]]
    declared = {requirement.name: requirement.specifier for requirement in map(Requirement, lines)}
    tried = re.findall(rf"({'|'.join(VERSIONS)}) ([\d.]+\d)(?: and\s([\d.]+\d))?", compat.__doc__)
    assert [name for name, *_ in tried] == list(VERSIONS)
    assert all(declared[VERSIONS[name]].contains(version) for name, *found in tried for version in filter(None, found))
    functions = [f for _, f in inspect.getmembers(compat, inspect.isfunction) if f.__module__ == compat.__name__]
    assert len(functions) >= 5 and all("\n\n" in function.__doc__ for function in functions)
