"""End a process when its parent process ends, so that a killed command leaves no servers or workers behind. Linux only.

The signal PDEATHSIG fires when the parent *thread* ends, not the parent process. Start long-lived children from a
thread that outlives them. An `exec` in the parent ends its other threads, and with them their children.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1

_POLL_SECONDS = 0.5
"""Between two checks whether a parent has ended."""


def preexec(ending: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` for subprocess: the child gets the signal `ending` when the thread that starts it ends."""
    if not _LINUX:
        return lambda: None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl  # before the fork: loading a library after the fork may deadlock

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, ending, 0, 0, 0)
        if os.getppid() != parent:  # the parent ended between fork and prctl: no signal follows
            os._exit(1)

    return tie


def tie_to_parent() -> None:
    """Send this process SIGTERM when the thread that started it ends."""
    if not _LINUX:
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def watch_parent(parent: int, callback: Callable[[], None]) -> None:
    """Call `callback` once, from a thread, when `parent` is no longer the parent of this process.

    For processes that need more than PDEATHSIG: under load one start in ten got no signal.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        callback()

    threading.Thread(target=watch, name="parent-death", daemon=True).start()
