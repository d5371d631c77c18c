"""How a command ends that somebody stops: with a word, and no traceback. Imports nothing that has to be installed."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""The exit code that shells give to a process ended by Ctrl-C."""

UNREAD = 141
"""And to one that wrote to a pipe whose reader is gone: `head` has had its lines."""


@contextmanager
def stopped() -> Iterator[None]:
    """End the process where what is done inside is interrupted, with a word; where nobody reads on, with none."""
    try:
        try:
            yield
        finally:
            if sys.stdout:  # none where it was closed
                sys.stdout.flush()  # later, at the process's end, a reader that is gone would be told as a fault
    except KeyboardInterrupt:
        sys.stderr.write("stopped.\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        if not _unread():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is not written yet
        sys.exit(UNREAD)


@contextmanager
def importing(*let_go: Callable[[], None]) -> Iterator[None]:
    """Imports take seconds, in which somebody may think better of it: Ctrl-C ends the process, after `let_go`.

    It does so at once: an exception amid the start of a library in C++ is that library's, and torch aborts over it.
    """

    def stop(*_: object) -> None:
        for each in let_go:
            each()
        os.write(2, b"stopped.\n")  # not by `sys.stderr`, which may be amid a line
        os._exit(INTERRUPTED)

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # behind & it is ignored
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _unread() -> bool:
    """Whether stdout is a pipe without a reader; any other pipe that breaks is a fault."""
    pipe = select.poll()
    pipe.register(1, 0)  # errors are told unasked
    return bool(pipe.poll(0))
