"""Where an agent listens: a socket's path that is its own, and one agent to a host."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat

from inferprint.agent.peer import credentials
from inferprint.errors import ConfigError, InferprintError

__all__ = ["listen", "take_host", "unlisten"]

MODE = 0o660
BACKLOG = 512
# An abstract name of Linux (unix(7)): it is free as soon as the process that has it is gone.
HOST_NAME = "\0inferprint-agent"


def listen(path: str, group: str | None) -> socket.socket:
    """A socket that listens at a path, for its owner and group.

    It is made under another name with its rights, and then put in its place, so that nobody can
    connect before it has them. One that a dead agent has left is replaced.

    Args:
        path: where.
        group: who may connect, beside this user; None: this process's group.

    Raises:
        ConfigError: the path or the group can't be used, or an agent listens there.
    """
    _check_free(path)
    gid = -1 if group is None else _group_id(group)
    made = f"{path}.{os.getpid()}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(made)
        sock.bind(made)
        os.chmod(made, MODE)
        if gid >= 0:
            os.chown(made, -1, gid)
        sock.listen(BACKLOG)
        os.rename(made, path)
    except OSError as error:
        sock.close()
        with contextlib.suppress(OSError):
            os.unlink(made)
        raise _unusable(path, group, error) from error
    return sock


def unlisten(path: str, made: os.stat_result) -> None:
    """Takes a socket's path away again, if it is still the one that was made."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.stat(path), made):
            os.unlink(path)


def take_host() -> socket.socket:
    """What only one agent of a host can have, until it is closed.

    Raises:
        InferprintError: another has it; says which process.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(HOST_NAME)
        sock.listen(1)
    except OSError:
        sock.close()
        raise InferprintError(
            f"another agent runs on this host{_whose(HOST_NAME)}: two would charge the same "
            "energy twice. Use its socket, stop it, or give --beside to run beside it all the same"
        ) from None
    return sock


def _check_free(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unusable(path, None, error) from error
    if not stat.S_ISSOCK(mode):
        expected = "a path where there is nothing, or a dead agent's socket"
        raise ConfigError("socket", path, expected, "Another file is there: it is left alone.")
    who = _whose(path)
    if who is not None:
        expected = f"a path of its own: an agent listens there{who}"
        raise ConfigError("socket", path, expected, "Stop that one, or use its socket.")


def _whose(address: str) -> str | None:
    """Who listens at an address, for people; None: nobody."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(address)
        except (ConnectionRefusedError, FileNotFoundError):
            return None
        except OSError:  # not allowed to, or it is busy: it is there
            return ""
        pid, uid, _ = credentials(sock)
        return f" (process {pid} of user {uid})"


def _group_id(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        expected = "the name of a group of this host"
        raise ConfigError("group", group, expected, f"sudo groupadd --system {group}") from None


def _unusable(path: str, group: str | None, error: OSError) -> ConfigError:
    if isinstance(error, PermissionError) and group is not None:
        expected = f"a group that this user is in, and a folder that it can write to ({error})"
        return ConfigError("group", group, expected, f"sudo usermod -aG {group} $USER")
    folder = os.path.dirname(os.path.abspath(path))
    expected = f"a path of at most 107 bytes in a folder that this user can write to ({error})"
    return ConfigError("socket", path, expected, f"mkdir -p {folder}")
