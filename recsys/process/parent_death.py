"""A process's life tied to the one that started it. Knows Linux alone; elsewhere nothing here has an effect.

PDEATHSIG fires when the parent *thread* ends, not the parent process: what is started from a short-lived thread dies
with that thread. Start long-lived children from a thread that outlives them. An `exec` in the parent ends its other
threads too, and with them their children.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_POLL_SECONDS = 0.5
_LOOK_SECONDS, _SETTLE_SECONDS = 30, 0.01
"""Between two looks where the kernel tells who ended, and until whoever it was has left its children to another."""
_GENERATIONS = 4
"""Ancestors looked at for a make: recursive makes, each with a shell between, are seldom deeper than two."""


def preexec(ending: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` for subprocess: the child gets the signal `ending` when the thread that starts it ends."""
    if not _LINUX:
        return lambda: None
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: loading a library after it may deadlock

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, ending, 0, 0, 0)
        if os.getppid() != parent:  # gone between fork and prctl: the signal will never come
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
    """Call `callback` once, from a thread, when `parent` is not the parent of this process any more.

    For whom the kernel's signal is not enough: now and then (one start in ten, under load) it never came.
    """
    if _LINUX:
        family = {os.getpid(): parent}
        threading.Thread(target=_watch, args=(family, callback), name="lifeline", daemon=True).start()


def watch_ancestor(callback: Callable[[], None]) -> None:
    """Call `callback` once, from a thread, when the process that started our make (or else our parent) is gone.

    No effect where SIGINT or SIGHUP is ignored: then we run behind & or nohup, and are wanted to outlive the shell.
    Call it before the program sets handlers of its own.
    """
    ignored = signal.SIG_IGN in (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP))
    if not _LINUX or ignored:
        return
    chain = _chain()
    threading.Thread(target=_watch, args=(chain, callback), name="lifeline", daemon=True).start()


def _watch(chain: dict[int, int], callback: Callable[[], None]) -> None:
    with ExitStack() as opened:
        ends = _ends_of(set(chain.values()), opened)
        while all(_parent(pid) == parent for pid, parent in chain.items()):
            if ends is not None and any(event & select.POLLNVAL for _, event in ends.poll(_LOOK_SECONDS * 1000)):
                ends = None  # somebody closed what is not theirs
            time.sleep(_POLL_SECONDS if ends is None else _SETTLE_SECONDS)
    callback()


def _ends_of(pids: set[int], opened: ExitStack) -> select.poll | None:
    """What can be waited for until one of several processes ends; None where that can't be asked of the kernel."""
    ends = select.poll()
    try:
        for pid in pids:
            descriptor = os.pidfd_open(pid)
            opened.callback(os.close, descriptor)
            ends.register(descriptor, select.POLLIN)
    except (OSError, AttributeError):  # one is gone, is not of this container, or the kernel or Python is an old one
        return None
    return ends


def _chain() -> dict[int, int]:
    """Parents by child, from us up to the parent of the outermost make near by, of our own parent if there is none."""
    pids = list(_ancestors())
    makes = [at for at, pid in enumerate(pids) if _name(pid) in ("make", "gmake")]
    end = (makes[-1] if makes else 0) + 1
    family = [os.getpid(), *pids]
    return dict(pairwise(family[: end + 2]))


def _ancestors() -> Iterator[int]:
    """Our parent, its parent, and so on."""
    pid = os.getpid()
    for _ in range(_GENERATIONS + 1):
        above = _parent(pid)
        if not above:
            return
        yield (pid := above)


def _parent(pid: int) -> int | None:
    """Who a process belongs to now; None if it is gone."""
    if pid == os.getpid():
        return os.getppid()  # no file to read at each look
    stat = _stat(pid)
    # the name stands in brackets and may hold brackets and spaces itself: what follows the last one is safe
    return int(stat.rpartition(")")[2].split()[1]) if stat else None


def _name(pid: int) -> str:
    return _stat(pid).partition("(")[2].rpartition(")")[0]


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return ""
