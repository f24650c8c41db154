"""Finds what installed packages and their extras require, and which requirements are missing."""

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from keras_mgnet.version import installed


def requirements(package: str, extra: str = "") -> list[Requirement]:
    """Returns the requirements of an installed package on this platform. With `extra`, returns only those that the extra adds.

    Example:
        >>> "numpy" in [requirement.name for requirement in requirements("keras")]
        True
    """

    def applies(requirement: Requirement, extra: str) -> bool:
        return requirement.marker is None or requirement.marker.evaluate({"extra": extra})

    needed = [Requirement(line) for line in metadata.requires(package) or ()]
    return [entry for entry in needed if applies(entry, extra) and not (extra and applies(entry, ""))]


def unmet(requirement: Requirement) -> Iterator[str]:
    """Yields what is missing or has the wrong version: the package of a requirement, and the packages of its extras.

    Example:
        >>> list(unmet(Requirement("keras"))), list(unmet(Requirement("kears>=3")))
        ([], ['kears>=3'])
    """
    wanted = f"{requirement.name}{requirement.specifier}"
    version = installed([requirement.name]).get(requirement.name)
    if version is None:
        yield wanted
        return
    if not requirement.specifier.contains(version, prereleases=True):
        yield f"{wanted} instead of {version}"
    for extra in requirement.extras:
        for needed in requirements(requirement.name, extra):
            yield from unmet(needed)
