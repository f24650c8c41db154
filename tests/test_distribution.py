"""What is installed: wheel and source distribution have every file of the package in real folders, and nothing else."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from support import ROOT

SOURCES = ("keras_mgnet", "training", "export", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
BUILD = "from setuptools.build_meta import build_sdist, build_wheel; build_sdist('dist'); build_wheel('dist')"
NO_REGISTRY = {"NPM_CONFIG_REGISTRY": "http://127.0.0.1:9"}  # the page's runtime is packaged where the tree has it


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The names in both archives, those of the source distribution below its folder."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy)
    command, environment = [sys.executable, "-c", BUILD], os.environ | NO_REGISTRY
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (sdist,), (wheel,) = copy.glob("dist/*.tar.gz"), copy.glob("dist/*.whl")
    with tarfile.open(sdist) as source, zipfile.ZipFile(wheel) as installed:
        files = {member.name.partition("/")[2] for member in source.getmembers() if member.isfile()}
        return files, set(installed.namelist())


def package_files():
    """The files of the package, links followed."""
    for folder, _, names in os.walk(ROOT / "keras_mgnet", followlinks=True):
        if "__pycache__" not in folder:
            yield from (str(Path(folder, name).relative_to(ROOT)) for name in names)


def test_wheel_and_source_have_the_same_files_of_the_package(built):
    source, wheel = built
    expected = set(package_files())
    assert {"keras_mgnet/training/__init__.pyi", "keras_mgnet/explorer/onnxruntime-web/LICENSE"} < expected
    assert {name for name in wheel if ".dist-info/" not in name} == expected
    assert {name for name in source if name.startswith("keras_mgnet/")} == expected


def test_the_source_distribution_has_what_builds_the_package_and_no_more(built):
    source, _ = built
    others = {name for name in source if not name.startswith(("keras_mgnet/", "keras_mgnet.egg-info/"))}
    assert others == {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg", "setup.py"}
