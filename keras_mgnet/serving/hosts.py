"""Checks that a request names this machine, not a foreign host name that resolves to this machine."""

from ipaddress import ip_address


def is_local(host: str) -> bool:
    """Returns whether a Host header, with or without a port, names this machine: localhost or a loopback address."""
    name = host.rpartition("]")[0].removeprefix("[") or host.partition(":")[0]
    try:
        return name.lower() == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
