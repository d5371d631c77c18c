"""A process that has imported everything and waits to be a worker: `python -m service.standby`, started by `arbiter`.

Imports are what a new worker takes longest for: 3 s of CPU, against .3 s for all that follows. Which service it is to
be it is told on its standard input, in one line of JSON: the command it stands in for, and that command's environment.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import runpy
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

LOADED = (
    "service.gateway",  # and with it retrieval and ranking
    "recsys.trial",  # and with it torch and the models
    "_bentoml_impl.loader",
    "_bentoml_impl.server.app",
    "_bentoml_impl.client.proxy",
    "uvicorn.lifespan.on",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)
"""What a worker of any service imports; one that a later BentoML names otherwise is imported when it is needed."""

ROOM = "-" * 4096
"""The last argument of a standby: room for the command line of the worker that it becomes."""


def main() -> None:
    """Import, wait, and become what is asked for; end where the arbiter has gone, or needs no worker more."""
    for name in LOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    told = sys.stdin.buffer.readline()
    if told:
        become(**json.loads(told))


def become(command: Sequence[str], variables: dict[str, str]) -> None:
    """Run `python -m MODULE ARGUMENTS` in this process; command: all of it, the interpreter first."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
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
    with suppress(OSError, ValueError, IndexError):  # Linux alone knows where arguments stand
        stat = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(stat[45]), int(stat[46])  # arg_start and arg_end, see proc(5)
        line = "\0".join(command).encode()[: end - start - 1]
        ctypes.memmove(start, line.ljust(end - start, b"\0"), end - start)


if __name__ == "__main__":
    main()
