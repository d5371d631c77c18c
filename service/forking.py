"""The forkserver as the parent of all workers has it, and how a fork becomes a worker in place of a new interpreter."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from recsys.lifeline import preexec
from service.forkserver import FIRST, ROOM

ROOT = Path(__file__).resolve().parent.parent

HERE = sys.platform == "linux"
"""Whether a process can adopt what its children leave behind, so that a fork of the forkserver is a child of ours."""

MODULE = "-m", "service.forkserver"
WORKER = "_bentoml_impl.worker.service"

_PR_SET_CHILD_SUBREAPER = 36

FIRST_SECONDS = 60.0
"""How long the first workers wait for its imports: 4 s on idle cores."""

FORK_SECONDS = 3.0
"""How long a fork may take, which takes some 10 ms; the parent hears of nothing else meanwhile."""

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""What numpy is told in every worker: the other cores are the others'. `torch.set_num_threads` does not reach it."""

LEAN_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(4 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 20),
}
"""What glibc is told in every worker. Left to itself it gives each thread an arena of its own and keeps what was freed
there: with two generations of a million items a retrieval worker held 283 MiB, and holds 238 so. Threads rarely ask at
once, and arrays below 4 MiB, all that a request needs, still come from the heap; which told only so gives what is free
at its end back at once, and has it cleared page by page for the next batch."""


class Forked(psutil.Process):  # type: ignore[misc] # psutil is untyped
    """A worker as circus wants it: what it asks of a `Popen`."""

    stdout = stderr = None

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it runs; 0 where somebody else was told, as `Popen` has it."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode


class Forkserver:
    """One at most; without one, `fork` says so."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._told = self._ready = False

    def begin(self) -> None:
        """Start it, where none runs: it imports what needs no environment."""
        if not HERE or self._process is not None or ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
            return
        ours, its = socket.socketpair()
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        self._process = subprocess.Popen(
            [sys.executable, "-P", *MODULE, str(its.fileno()), ROOM],  # -P: nothing of a folder that happens to be ours
            env=LEAN_MALLOC | ONE_THREAD | os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            start_new_session=True,
            preexec_fn=preexec(signal.SIGKILL),
        )
        its.close()
        self._control, self._told, self._ready = ours, False, False

    def tell(self, variables: dict[str, str]) -> None:
        """The environment of workers, so far as all have the same: it imports the rest."""
        if self._control is not None and not self._told:
            self._told = True
            with suppress(OSError):
                self._control.sendall(json.dumps(variables).encode() + b"\n")

    def wait(self) -> None:
        """Until all is imported, before the first workers start; whoever asks for a fork later waits for nothing."""
        if self._control is not None and self._told:
            with suppress(OSError):
                self._ready = self._said(self._control, FIRST_SECONDS) is not None

    def drop_ended(self) -> bool:
        """Whether it ended by itself since this was asked last."""
        if self._process is None or self._process.poll() is None:
            return False
        self._process = None
        self.end()
        return True

    def end(self) -> None:
        """Let it end by itself: it forks nothing more."""
        if self._control is not None:
            self._control.close()
        self._control = None

    def kill(self) -> bool:
        """End it, though it may be stopped or busy; whether there was one."""
        self.end()
        if self._process is None or self._process.poll() is not None:
            return False
        self._process.kill()
        return True

    def fork(self, command: list[str], variables: dict[str, str], folder: str, listeners: list[int]) -> Forked | None:
        """A worker that runs `command`, a child of this process; None where none can be had at once.

        listeners: ours, which it has from `forkserver.FIRST` on.
        """
        if self._control is None or not self._told:
            return None
        line = json.dumps({"command": command, "variables": variables, "folder": folder}).encode() + b"\n"
        waits, goes = os.pipe()
        try:
            self._ready = self._ready or self._said(self._control, 0.0) is not None
            if not self._ready:
                return None
            sent = socket.send_fds(self._control, [line], [waits, *listeners])
            self._control.sendall(line[sent:])
            pid = self._said(self._control, FORK_SECONDS)
            if pid is None:
                # Named here: a logger that is there when BentoML configures logging is silent from then on.
                logging.getLogger("tandem").warning(
                    "The process that workers are forked from did not answer in %.0f s.", FORK_SECONDS
                )
                self.kill()  # what it says late must not be taken for the next one's
                return None
            if pid < 0:
                return None
            forked = Forked(pid)
            os.write(goes, b"!")
            return forked
        except (OSError, psutil.NoSuchProcess):
            return None
        finally:
            os.close(waits)
            os.close(goes)

    @staticmethod
    def _said(control: socket.socket, seconds: float) -> int | None:
        """The number that it says next; None where it says none in time."""
        said, end = b"", time.monotonic() + seconds
        while not said.endswith(b"\n"):
            if not select.select([control], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            some = control.recv(64)
            if not some:
                return None
            said += some
        return int(said)


def is_worker(started: Any) -> bool:
    """Whether a process or watcher of circus is for a worker that nobody types to."""
    return WORKER in (started.args or ()) and bool(started.close_child_stdin)


SERVER = Forkserver()
"""Of this process: `service.launch` starts it before BentoML is imported, `service.arbiter` where nobody has."""


def forking(server: Forkserver) -> Any:
    """The class of circus's processes, but that workers are forked where they can be."""
    from circus.process import Process

    class ForkedProcess(Process):  # type: ignore[misc] # circus is untyped
        def spawn(self) -> None:
            if not is_worker(self):  # what reloads, or is debugged, in development
                super().spawn()
                return
            ours, started = self._get_sockets_fds() or {}, time.time()
            command = self.format_args(sockets_fds={name: number for number, name in enumerate(ours, FIRST)})
            forked = server.fork(command, self.env, self.working_dir, list(ours.values()))
            if forked is None:
                super().spawn()
                return
            self.started, self._worker = started, forked
            self._sockets.clear()  # the fork has them

    return ForkedProcess
