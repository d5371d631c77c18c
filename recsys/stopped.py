"""How a command ends that somebody stops: with a word, and no traceback. Imports nothing that has to be installed."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""The exit code that shells give to a process ended by Ctrl-C."""


@contextmanager
def stopped() -> Iterator[None]:
    """Where what is done inside is interrupted, say so, and end the process."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("stopped.\n")
        sys.exit(INTERRUPTED)


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
