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
from itertools import pairwise

import psutil

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1

_POLL_SECONDS = 0.5
"""Between two checks whether a parent has ended."""

_ANCESTORS = 5
"""Ancestors that are searched for a make. Nested makes, with a shell between two of them, are seldom deeper."""


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
    if _LINUX:
        _start_watching({os.getpid(): parent}, callback)


def watch_ancestor(callback: Callable[[], None]) -> None:
    """Call `callback` once, from a thread, when the process above our make ends; without a make, our parent's parent.

    Has no effect where SIGINT or SIGHUP is ignored: behind & and nohup a process is meant to outlive its shell.
    Call it before the program sets signal handlers.
    """
    ignored = signal.SIG_IGN in (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP))
    if _LINUX and not ignored:
        _start_watching(_family(), callback)


def _start_watching(parents: dict[int, int], callback: Callable[[], None]) -> None:
    threading.Thread(target=_watch, args=(parents, callback), name="parent-death", daemon=True).start()


def _watch(parents: dict[int, int], callback: Callable[[], None]) -> None:
    while all(_parent(pid) == parent for pid, parent in parents.items()):
        time.sleep(_POLL_SECONDS)
    callback()


def _family() -> dict[int, int]:
    """The parent of each process, from this process up to the parent of the outermost make near by."""
    ancestors = psutil.Process().parents()[:_ANCESTORS]
    makes = [at for at, process in enumerate(ancestors) if _name(process) in ("make", "gmake")]
    end = (makes[-1] if makes else 0) + 1
    pids = [os.getpid(), *(process.pid for process in ancestors)]
    return dict(pairwise(pids[: end + 2]))


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _parent(pid: int) -> int | None:
    """The parent of a process now; None if the process has ended."""
    if pid == os.getpid():
        return os.getppid()
    try:
        return int(psutil.Process(pid).ppid())
    except psutil.Error:
        return None
