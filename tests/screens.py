"""Programs on a terminal of their own, and what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

ENTERS, LEAVES = "\x1b[?1049h", "\x1b[?1049l"
"""What switches to the screen that programs paint on, and back."""

HOME = "\x1b[H"
CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
GRACE_S = 30.0


class Screen:
    """A program that runs on a terminal.

    Args:
        pid: the program's.
        terminal: the other end of its terminal.
    """

    def __init__(self, pid: int, terminal: int) -> None:
        self._pid, self._terminal = pid, terminal
        self.written = ""
        self.status: int | None = None

    def resize(self, width: int, height: int) -> None:
        """Gives the terminal another size; the kernel tells the program."""
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def until(self, seen: Callable[[str], bool]) -> str:
        """Waits until the program has written this; the screen that has it, without codes."""
        until_s = time.monotonic() + GRACE_S
        while not seen(self.frame()):
            assert time.monotonic() < until_s, self.written
            assert self._read(0.1), self.written
        return self.frame()

    def frame(self) -> str:
        """The last screen that was painted in whole, without codes."""
        frames = self.written.split(HOME)
        return CODES.sub("", frames[-2] if len(frames) > 2 else "")

    def end(self, with_signal: signal.Signals) -> int:
        """Ends it; the exit status."""
        os.kill(self._pid, with_signal)
        while self._read(GRACE_S):
            pass
        self._wait()
        assert self.status is not None
        return self.status

    def close(self) -> None:
        """Ends it in any case."""
        if self.status is None:
            os.kill(self._pid, signal.SIGKILL)
            self._wait()
        os.close(self._terminal)

    def _wait(self) -> None:
        self.status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self, at_most_s: float) -> bool:
        """Reads what there is, or waits for it; whether the program can write more."""
        if not select.select([self._terminal], [], [], at_most_s)[0]:
            return True
        try:
            part = os.read(self._terminal, 65_536)
        except OSError:  # what Linux says of a terminal that no program has any more
            return False
        self.written += part.decode("utf-8", "replace")
        return bool(part)


@contextmanager
def on_screen(
    *args: str, env: Mapping[str, str] | None = None, width: int = 80, height: int = 40
) -> Iterator[Screen]:
    """Runs this interpreter with ``args`` on a terminal of this size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    screen = Screen(_spawn([sys.executable, *args], env or {}, os.ttyname(theirs)), ours)
    os.close(theirs)
    try:
        yield screen
    finally:
        screen.close()


def _spawn(command: list[str], env: Mapping[str, str], terminal: str) -> int:
    """Starts a program in a session of its own, whose terminal is this one, as a shell does."""
    # A copy of this process that ran Python code before its exec could hang on a lock that one of
    # its threads held; posix_spawn runs none.
    own = {name: os.environ[name] for name in os.environ if name not in ("COLUMNS", "LINES")}
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, terminal, os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, 0, 1),
        (os.POSIX_SPAWN_DUP2, 0, 2),
    ]
    environment = {**own, "TERM": "xterm-256color", **env}
    return os.posix_spawn(command[0], command, environment, file_actions=actions, setsid=True)
