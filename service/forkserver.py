"""A process that has imported everything and forks workers: `python -m service.forkserver FD`, started by `forking`.

Imports are what a worker takes longest for: 3 s of CPU, against .3 s for all that follows. Here they are made once, by
a process with one thread and no connection, and what they made is one memory for all workers. Which service a worker is
to be comes over the socket FD: a line of JSON, a pipe that says go on, and the listeners it serves.
"""

from __future__ import annotations

import array
import ctypes
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from recsys.lifeline import tie_to_parent

MODELS = ("recsys.trial",)
"""What a worker that runs models imports, torch among it: 1.8 s of CPU."""

AT_ONCE = (
    "_bentoml_impl.loader",
    "_bentoml_impl.server.app",
    "_bentoml_impl.client.proxy",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
"""What a worker of any service imports; one that a later BentoML names otherwise is imported when it is needed."""

TOLD = ("service.gateway",)  # and with it retrieval and ranking
"""The same of what reads the environment as it is imported: settings, and where counters lie."""

ROOM = "-" * 4096
"""The last argument: room for the command line of the worker that a fork becomes."""

ELSEWHERE = "TANDEM_RETRIEVAL_URL", "TANDEM_RANKING_URL"
"""Where both are set, no model runs here."""

READY, FAILED = b"0\n", b"-1\n"
MOST_LISTENERS = 64
FIRST = 512
"""The number of a worker's first listener: above all that imports have opened."""


def main() -> None:
    """Import, then fork whoever is asked for; end with the one that asks. In a fork: be that worker."""
    control = socket.socket(fileno=int(sys.argv[1]))
    _import(AT_ONCE if all(map(os.environ.get, ELSEWHERE)) else MODELS + AT_ONCE)
    first, _ = _received(control)
    if not first:
        return
    os.environ.update(json.loads(first))
    _import(TOLD)
    gc.collect()
    gc.freeze()  # what a collector looks at is written to, and memory that is written to is shared no more
    _say(control, READY)
    asked = _next(control)
    if asked is not None:
        become(**asked)


def _import(names: Sequence[str]) -> None:
    for name in names:
        with suppress(ImportError):
            importlib.import_module(name)


def _next(control: socket.socket) -> dict[str, Any] | None:
    """In a fork: what it is to be. Here: None, when nobody can ask any more."""
    arbiter = os.getppid()
    while True:
        told, listeners = _received(control)
        if not told:
            return None
        asked = json.loads(told)
        try:
            forked = _fork(arbiter)
        except OSError:  # no memory, no process left: the parent starts an interpreter, or says so
            _say(control, FAILED)
        else:
            if forked is None:
                control.close()
                _await(listeners.pop(0))
                _place(listeners)
                return dict(asked)
            _say(control, b"%d\n" % forked)
        for listener in listeners:
            os.close(listener)


def _say(control: socket.socket, what: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):  # the next thing heard is that nobody asks any more
        control.sendall(what)


def _received(control: socket.socket) -> tuple[bytes, list[int]]:
    """A line, and what came with its first byte: the pipe of `_await`, and listeners."""
    told, listeners = b"", array.array("i")
    while not told.endswith(b"\n"):
        try:
            some, beside, _, _ = control.recvmsg(1 << 16, socket.CMSG_SPACE(MOST_LISTENERS * listeners.itemsize))
        except ConnectionResetError:  # who asked has gone, and READY was never read
            return b"", list(listeners)
        for level, kind, content in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                listeners.frombytes(content[: len(content) - len(content) % listeners.itemsize])
        if not some:
            return b"", list(listeners)
        told += some
    return told, list(listeners)


def _fork(arbiter: int) -> int | None:
    """The process forked, by now a child of the arbiter, which adopts what loses its parent; None in that process."""
    found, told = os.pipe()
    try:
        between = os.fork()
    except OSError:
        os.close(found)
        os.close(told)
        raise
    if between:
        os.close(told)
        with os.fdopen(found, "rb") as pipe:
            pid = pipe.read()
        os.waitpid(between, 0)
        if not pid:
            raise OSError("The fork could not fork.")
        return int(pid)
    try:
        pid_between, forked = os.getpid(), os.fork()
    except OSError:
        os._exit(1)
    if forked:
        os.write(told, b"%d" % forked)
        os._exit(0)
    os.close(found)
    os.close(told)
    while os.getppid() == pid_between:
        time.sleep(0.001)
    if os.getppid() != arbiter:
        os._exit(1)
    os.setsid()
    tie_to_parent()
    return None


def _await(pipe: int) -> None:
    """Go on when the parent knows of this process; end where it has given up, and started another."""
    if not os.read(pipe, 1):
        os._exit(1)
    os.close(pipe)


def _place(listeners: Sequence[int]) -> None:
    """Have the listeners under the numbers that a command line tells, from FIRST on."""
    for number, listener in enumerate(listeners, FIRST):
        os.dup2(listener, number)
        os.close(listener)


def become(command: Sequence[str], variables: dict[str, str], folder: str) -> None:
    """Run `python -m MODULE ARGUMENTS` in this process; command: all of it, the interpreter first."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    _keep_loggers()
    _show(command)
    sys.argv = list(command[2:])
    runpy.run_module(command[2], run_name="__main__", alter_sys=True)


def _keep_loggers() -> None:
    """A worker configures logging first thing, which would silence every logger that is there already."""
    with suppress(ImportError, AttributeError):
        from bentoml._internal.log import SERVER_LOGGING_CONFIG

        SERVER_LOGGING_CONFIG["disable_existing_loggers"] = False


def _show(command: Sequence[str]) -> None:
    """Let `ps` tell the worker that this is now, as it tells the others."""
    with suppress(OSError, ValueError, IndexError):
        stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(stat[45]), int(stat[46])  # arg_start and arg_end, see proc(5)
        line = "\0".join(command).encode()[: end - start - 1]
        ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    main()
