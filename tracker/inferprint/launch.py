"""A command run to its end as if it were run in this process's place: its terminal, signals and
exit code are passed through.

The command stays in this process's group, so that the terminal's Ctrl-C and Ctrl-Z reach it, and a
pipeline that it is a part of, as ever. What a process sends to this one alone is sent on to it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from inferprint.errors import InferprintError

__all__ = ["NOT_EXECUTABLE", "NOT_FOUND", "SIGNALLED", "Launched", "signals_held"]

NOT_EXECUTABLE, NOT_FOUND, SIGNALLED = 126, 127, 128
"""Exit codes of shells (POSIX, "Shell & Utilities", 2.8.2): the last with the signal added."""

PASSED_ON = frozenset(
    (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGTSTP,
        signal.SIGCONT,
    )
)
WAITED_FOR = PASSED_ON | {signal.SIGCHLD}
LOOK_S = 1.0
"""How often the command is looked at without a signal, should one be missed."""

# Python ignores these; a command does not expect that (as for subprocess's restore_signals).
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)
_PR_SET_CHILD_SUBREAPER = 36


@contextmanager
def signals_held() -> Iterator[None]:
    """Holds back the signals that are to be passed on, also in threads that start in it.

    Raises:
        InferprintError: this system can't wait for a signal.
    """
    if not hasattr(signal, "sigtimedwait"):
        raise InferprintError(f"{sys.platform} can't wait for signals: run the command without it")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAITED_FOR)
    try:
        yield
        while signal.sigtimedwait(PASSED_ON, 0) is not None:  # they were for what has ended
            pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Launched:
    """A command that runs. To be made and waited for within ``signals_held``.

    This process becomes the parent of what the command leaves running, and waits for all children.

    Args:
        command: the program and its arguments.
        environment: its environment variables.

    Raises:
        OSError: it can't be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would take the exit code along
        with suppress(AttributeError, OSError):  # Linux alone has it
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.pid = os.posix_spawnp(
            command[0], list(command), environment, setsigmask=(), setsigdef=_RESTORED
        )

    def wait(self) -> int:
        """Passes signals on until it ends; its exit code, or 128 and the signal that ended it."""
        while (status := self._ended()) is None:
            told = signal.sigtimedwait(WAITED_FOR, LOOK_S)
            if told is not None and told.si_signo in PASSED_ON:
                self._pass_on(told)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else SIGNALLED - code

    def _ended(self) -> int | None:
        """Waits for what has ended; how the command did, if it is among that."""
        ended: int | None = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return ended
            if not pid:
                return ended
            if pid == self.pid:
                ended = status

    def _pass_on(self, told: signal.struct_siginfo) -> None:
        # What the terminal sends (a code above 0) it sends to the command too.
        if told.si_code <= 0:
            with suppress(ProcessLookupError):
                os.kill(self.pid, told.si_signo)
        if told.si_signo == signal.SIGTSTP:
            os.kill(os.getpid(), signal.SIGSTOP)  # until the shell continues both
