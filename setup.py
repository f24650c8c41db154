"""Fetches the runtime of the explorer's page when the package is built; pyproject.toml has everything else."""

import runpy
import warnings

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRuntime(build_py):
    """Packages onnxruntime-web with the explorer; where no registry answers, without it, which it may fetch later."""

    def run(self):
        try:
            runpy.run_path("keras_mgnet/explorer/runtime.py")["fetch"]()
        except OSError as error:
            warnings.warn(f"the explorer lacks onnxruntime-web: {error}", stacklevel=1)
        super().run()


setup(cmdclass={"build_py": BuildWithRuntime})
