"""End a command without a traceback: on Ctrl-C, a closed pipe, a missing package, and the program's own errors.

It imports little, so that a command can use it before its slow imports, and where a package is missing.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recsys.errors import TandemError

WRONG_CALL = 2
"""The exit code of a command that was called the wrong way, as in argparse."""

INTERRUPTED = 130
"""The exit code that shells give to a process that ended by Ctrl-C."""

CLOSED_PIPE = 141
"""The exit code that shells give to a process that wrote to a pipe without a reader, as of `| head`."""

_OWN_PACKAGES = {"recsys", "service", "training", "flows"}


@contextmanager
def exit_with_sentence() -> Iterator[None]:
    """End the process with exit code 1 and the sentence of an error of Tandem."""
    try:
        yield
    except TandemError as error:
        sys.exit(f"tandem: {error}")


@contextmanager
def required_packages() -> Iterator[None]:
    """End the process with one sentence and exit code 2 where an installed package is missing.

    Ctrl-C ends the process with one word on stderr, and a closed stdout without any output.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout:  # None where stdout was closed
                sys.stdout.flush()  # here: Python reports a closed pipe as an error when it flushes at exit
    except KeyboardInterrupt:
        sys.stderr.write("stopped.\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        if not _stdout_has_no_reader():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # takes the output that is still buffered
        sys.exit(CLOSED_PIPE)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OWN_PACKAGES:
            raise
        sys.stderr.write(
            f"tandem: {sys.executable} has no {error.name}. Run `source .venv/bin/activate` in Tandem's folder first "
            "(`make .venv/installed` makes it), and try again.\n"
        )
        sys.exit(WRONG_CALL)


@contextmanager
def interruptible_imports(*cleanup: Callable[[], None]) -> Iterator[None]:
    """End the process at once on Ctrl-C during slow imports, after calling `cleanup`.

    An exception would not do: it may be raised inside the start of a C++ library, and torch then aborts the process.
    """

    def stop(*_: object) -> None:
        for call in cleanup:
            call()
        os.write(2, b"stopped.\n")  # not through `sys.stderr`, which the signal may have interrupted
        os._exit(INTERRUPTED)

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored behind &
        yield
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stdout_has_no_reader() -> bool:
    """Whether stdout is a pipe without a reader. A broken pipe elsewhere is an error."""
    pipe = select.poll()
    pipe.register(1, 0)  # errors are reported without being registered
    return bool(pipe.poll(0))
