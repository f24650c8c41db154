"""Makes a virtual environment with certain versions of Keras and TensorFlow, and runs the default tests in it.

    python tests/environments/run.py lowest
    python3.13 tests/environments/run.py colab -- tests/models tests/layers

The environment has the Python that runs this script. What stands after "--" goes to pytest.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FIXED = ("colab", "kaggle")  # here the packages are installed first, and `all` of this package must not change them
PREREQUISITES = {"prerelease": ["tensorflow>=2.22.0rc0"]}  # what is wanted beside this package
ENVIRONMENTS = ("lowest", *FIXED, "newest", "prerelease")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", choices=ENVIRONMENTS)
    parser.add_argument("--in", dest="folder", type=Path, default=Path("build/environments"), help="where to make it")
    words, tests = split(sys.argv[1:])
    options = parser.parse_args(words)
    python = made(options.environment, options.folder / options.environment)
    show(python)
    return subprocess.run([python, "-m", "pytest", *tests], cwd=ROOT).returncode


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Returns the words before and after the first "--"."""
    place = words.index("--") if "--" in words else len(words)
    return words[:place], words[place + 1 :]


def made(name: str, folder: Path) -> Path:
    """Makes the environment if there is none, and returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    constraints = HERE / f"{name}.txt"
    if name in FIXED:
        pip(python, "-r", constraints)
        before = frozen(python)
        pip(python, "-e", f"{ROOT}[all]")
        if lost := before - frozen(python):
            raise SystemExit(f"expected an installation that changes no version. Received: another of {sorted(lost)}")
    limits = ["-c", constraints] if constraints.exists() else []
    pip(python, "-e", f"{ROOT}[all,test]", *PREREQUISITES.get(name, []), *limits)
    if name == "prerelease":  # keras and keras-nightly are the same folder, and requirements name keras
        pip(python, "keras", command="uninstall -y")
        pip(python, "--pre", "--force-reinstall", "--no-deps", "keras-nightly")
    return python


def frozen(python: Path) -> set[str]:
    return set(pip(python, command="freeze --exclude-editable").splitlines())


def pip(python: Path, *words: str | Path, command: str = "install --quiet") -> str:
    quiet = [python, "-m", "pip", "--disable-pip-version-check", *command.split(), *words]
    return subprocess.run(quiet, check=True, stdout=subprocess.PIPE, text=True).stdout


def show(python: Path) -> None:
    """Prints the versions that the table in docs/installation.md names."""
    program = "import keras as k, numpy as n, tensorflow as t; print(k.__version__, t.__version__, n.__version__)"
    print("Keras, TensorFlow and numpy:", flush=True)
    subprocess.run([python, "-c", program], check=True)


if __name__ == "__main__":
    sys.exit(main())
