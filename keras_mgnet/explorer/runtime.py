"""Fetches the page's runtime, onnxruntime-web, from the npm registry. The build of the package does this once.

If the build could not fetch the runtime, run `python -m keras_mgnet.explorer.runtime`.
"""

import base64
import hashlib
import io
import os
import tarfile
import tempfile
import urllib.request
from pathlib import Path

VERSION = "1.30.0"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
REGISTRY = "https://registry.npmjs.org"
FOLDER = Path(__file__).parent / "onnxruntime-web"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
SECONDS = 60


def fetch() -> list[Path]:
    """Returns the files of the runtime, and fetches missing files. Accepts only the version whose digest is in `SHA512`.

    The registry is npm's, or the one in `NPM_CONFIG_REGISTRY`.
    """
    files = [FOLDER / name for name in FILES]
    if not all(file.is_file() for file in files):
        registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
        address = f"{registry}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            unpack(answer.read())
    return files


def unpack(package: bytes, folder: Path = FOLDER) -> None:
    """Checks the digest of the runtime's package, then writes the runtime's files from it.

    Example:
        >>> unpack(b"something else")
        Traceback (most recent call last):
            ...
        ValueError: expected onnxruntime-web 1.30.0 with its sha512. Received: 14 other bytes
    """
    if base64.b64encode(hashlib.sha512(package).digest()).decode() != SHA512:
        raise ValueError(f"expected onnxruntime-web {VERSION} with its sha512. Received: {len(package)} other bytes")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive, tempfile.TemporaryDirectory(dir=folder) as staged:
        for name in FILES:
            file = Path(staged, name)
            file.write_bytes(archive.extractfile(f"package/dist/{name}").read())
            file.chmod(0o644)
            file.replace(folder / name)


def installed() -> list[Path]:
    """Returns the files of the runtime and its licence. If a file is missing, raises ImportError with the command to run."""
    files = [FOLDER / name for name in ("LICENSE", *FILES)]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ImportError(
            f"expected onnxruntime-web; `python -m keras_mgnet.explorer.runtime` fetches it. Received: no {missing[0]}"
        )
    return files


if __name__ == "__main__":
    print(*fetch(), sep="\n")
