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
FILES = {  # with their sha256
    "ort.wasm.min.mjs": "219e6a1fc8a9938268d18efca3c91d310bd2f4a59bbd13744df5b2b7fc6cee3b",
    "ort-wasm-simd-threaded.mjs": "e13f7f94fc51b4ca72b12faeb1ee95f4ace6dfbc8939bc718aabdc0a27c4299b",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
SECONDS = 60


def fetch() -> list[Path]:
    """Returns the files of the runtime, and fetches missing or changed files.

    Accepts only the version whose digest is in `SHA512`. The registry is npm's, or the one in `NPM_CONFIG_REGISTRY`.
    """
    if not all(map(is_intact, FILES)):
        registry = os.environ.get("NPM_CONFIG_REGISTRY", REGISTRY).rstrip("/")
        address = f"{registry}/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz"
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:
            unpack(answer.read())
    return [FOLDER / name for name in FILES]


def is_intact(name: str) -> bool:
    """Returns whether a file of the runtime exists and has its sha256 in `FILES`."""
    file = FOLDER / name
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == FILES[name]


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
    """Returns the files of the runtime and its licence.

    If a file is missing or changed, raises ImportError with the command to run.
    """
    if missing := [name for name in FILES if not is_intact(name)]:
        raise ImportError(
            f"expected onnxruntime-web {VERSION}; `python -m keras_mgnet.explorer.runtime` fetches it. "
            f"Received: no intact {missing[0]}"
        )
    return [FOLDER / name for name in ("LICENSE", *FILES)]


if __name__ == "__main__":
    print(*fetch(), sep="\n")
