"""By which names a server may be asked that nothing outside this machine reaches."""

from __future__ import annotations

from ipaddress import ip_address

__all__ = ["names_for"]

LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")


def names_for(host: str) -> tuple[str, ...]:
    """The hosts that a server which listens there answers to.

    On loopback, this machine's own names alone: a page of elsewhere that has its name resolve to
    this machine is not let in. Elsewhere ``*``, all.

    Args:
        host: the address that it listens on.
    """
    return (*LOOPBACK, host) if _is_loopback(host) else ("*",)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
