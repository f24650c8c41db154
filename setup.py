"""Maps the generic source folders into the one installed package, `keras_mgnet`."""

from setuptools import find_packages, setup

FOLDERS = {f"keras_mgnet.{folder}": folder for folder in ("training", "export", "serving", "cli", "benchmarks")}

setup(
    packages=find_packages(include=["keras_mgnet", "keras_mgnet.*"]) + list(FOLDERS),
    package_dir=FOLDERS,
    scripts=["cli/keras-mgnet"],
    package_data={"keras_mgnet": ["py.typed", "__init__.pyi"], "keras_mgnet.export": ["__init__.pyi"]},
)
