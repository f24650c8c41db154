"""Maps the generic source folders into the one installed package, `keras_mgnet`, and fetches the runtime of its page."""

import runpy
import warnings

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

FOLDERS = {
    f"keras_mgnet.{folder}": folder for folder in ("training", "export", "serving", "explorer", "cli", "benchmarks")
}


class BuildWithRuntime(build_py):
    """Packages onnxruntime-web with the explorer; where no registry answers, without it, which it may fetch later."""

    def run(self):
        try:
            runpy.run_path("explorer/runtime.py")["fetch"]()
        except OSError as error:
            warnings.warn(f"the explorer lacks onnxruntime-web: {error}", stacklevel=1)
        super().run()


setup(
    packages=find_packages(include=["keras_mgnet", "keras_mgnet.*"]) + list(FOLDERS),
    package_dir=FOLDERS,
    scripts=["cli/keras-mgnet"],
    package_data={
        "keras_mgnet": ["py.typed", "__init__.pyi"],
        "keras_mgnet.export": ["__init__.pyi"],
        "keras_mgnet.explorer": ["page/*", "onnxruntime-web/*"],
    },
    cmdclass={"build_py": BuildWithRuntime},
)
