"""Which trackers of this host read a device: a lock for each, so that they find each other.

Two trackers that read the same GPU each charge all of its idle energy, and of its active energy
what the driver does not tell apart. Neither can put that right alone, but both can say so. A lock
belongs to an open file, so the kernel lets go of it however its process ends.

A device has two files. The first tracker holds ``ID.lock`` alone; those beside it hold
``ID.beside`` together, so that the first can see that there is one, and one of them becomes the
first when that ends.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import stat
import weakref
from collections.abc import Callable
from pathlib import Path

from inferprint.units import NS_PER_S

__all__ = ["MEND", "Claim", "holder"]

log = logging.getLogger("inferprint")

LOOK_NS = 1 * NS_PER_S
MEND = "inferprint agent --socket PATH, and INFERPRINT_AGENT=PATH for each of the processes"
# A FIFO that somebody put there would make an open wait; a link would lead elsewhere.
_HOW = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_BUSY = (errno.EWOULDBLOCK, errno.EACCES)


class Claim:
    """A tracker's claim on one device. It is asked, and closed, by one thread.

    Args:
        folder: where the locks are; made if it is not there, for all users of the host.
        device_id: the device.
    """

    def __init__(self, folder: Path, device_id: str) -> None:
        self._folder, self._device_id = folder, device_id
        self._name = _file_name(device_id)
        self._first: int | None = None
        self._beside: int | None = None
        self._is_first = self._is_shared = self._has_said = False
        self._next_ns = 0
        _claims.add(self)

    def shared(self, at_ns: int) -> bool:
        """Whether another tracker reads the device, as it was seen within the last second.

        Where that can't be told it is taken not to be, which is logged once.
        """
        if at_ns >= self._next_ns:
            self._next_ns = at_ns + LOOK_NS
            try:
                self._look()
            except OSError as error:
                self._is_shared = False
                self._say(
                    f"no lock in {self._folder} can be had ({error}), so that trackers can't "
                    f"find each other. mend: set INFERPRINT_LOCK_FOLDER to another folder"
                )
        return self._is_shared

    def _look(self) -> None:
        if self._first is None or self._beside is None:
            self._open()
        assert self._first is not None
        assert self._beside is not None
        self._is_first = self._is_first or _lock(self._first, fcntl.LOCK_EX)
        # For the first: nobody holds it. For another: that of all who are beside the first.
        alone = _lock(self._beside, fcntl.LOCK_EX if self._is_first else fcntl.LOCK_SH)
        if self._is_first and alone:
            fcntl.flock(self._beside, fcntl.LOCK_UN)
        self._is_shared = not (self._is_first and alone)
        if self._is_shared:
            self._say(
                said_of(_pid_of(self._beside if self._is_first else self._first))
                + f". Its receipts are flagged device_shared. mend: {MEND}"
            )

    def _open(self) -> None:
        folder = _open_folder(self._folder)
        try:
            self._first = _open_file(folder, self._name + ".lock")
            self._beside = _open_file(folder, self._name + ".beside")
        finally:
            os.close(folder)

    def _say(self, what: str) -> None:
        if not self._has_said:
            self._has_said = True
            log.warning("%s: %s", self._device_id, what)

    def close(self) -> None:
        """Gives the device up to the others; it is claimed anew when asked for again."""
        for fd in (self._first, self._beside):
            if fd is not None:
                os.close(fd)
        self._first = self._beside = None
        self._is_first = self._is_shared = self._has_said = False
        self._next_ns = 0


def said_of(pid: int) -> str:
    """What is said of a device that the process (0: not known which) reads too."""
    who = f" (process {pid})" if pid else ""
    return (
        f"another tracker of this host{who} reads it too, so that each charges its idle energy, "
        "and active energy where the driver does not tell processes apart"
    )


def holder(folder: Path, device_id: str) -> int | None:
    """The process that is first to read a device, 0 where that is not told; None: none does."""
    try:
        folder_fd = _open_folder(folder, make=False)
        try:
            fd = os.open(_file_name(device_id) + ".lock", _HOW, dir_fd=folder_fd)
        finally:
            os.close(folder_fd)
    except OSError:
        return None
    try:
        return None if _lock(fd, fcntl.LOCK_SH) else _pid_of(fd)
    finally:
        os.close(fd)


def _file_name(device_id: str) -> str:
    return re.sub(r"[^\w.-]", "_", device_id)[:200]


def _lock(fd: int, kind: int) -> bool:
    """Takes or changes a lock without waiting; whether it is held so now."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True


def _open_folder(folder: Path, make: bool = True) -> int:
    if make:
        try:
            os.mkdir(folder)
            os.chmod(folder, 0o1777)  # noqa: S103 - like /tmp: other users' trackers lock here too
        except FileExistsError:
            pass
    return os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY | os.O_NOFOLLOW)


def _open_file(folder: int, name: str) -> int:
    """Opens a lock's file, whoever made it: to read is enough to lock."""
    try:
        fd = os.open(name, _HOW, dir_fd=folder)
    except FileNotFoundError:
        # Not both in one call: Linux refuses to create what another user has, even to read it
        # (fs.protected_regular).
        try:
            fd = os.open(name, _HOW | os.O_CREAT | os.O_EXCL, 0o444, dir_fd=folder)
            os.fchmod(fd, 0o444)
        except FileExistsError:  # another was quicker
            fd = os.open(name, _HOW, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileExistsError(errno.EEXIST, "it is no plain file", name)
    return fd


def _pid_of(fd: int) -> int:
    """The process that locked a file, as Linux lists it; 0: it is not told."""
    inode = str(os.fstat(fd).st_ino)
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for line in lines:  # 1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF
        words = line.split()
        held = len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == inode
        if held and int(words[4]) not in (0, os.getpid()):
            return max(0, int(words[4]))
    return 0


_claims: weakref.WeakSet[Claim] = weakref.WeakSet()


def _let_go() -> None:
    """In the child of a fork: the locks are the parent's, which holds them until it ends."""
    close: Callable[[Claim], None] = Claim.close
    for claim in list(_claims):
        close(claim)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
