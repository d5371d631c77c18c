"""Standbys, and how one of them becomes a worker where the arbiter would start a new interpreter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from recsys.lifeline import preexec
from service.standby import ROOM

ROOT = Path(__file__).resolve().parent.parent


class Standbys:
    """Processes that wait to become workers, so many at most."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._waiting: list[psutil.Popen] = []

    def take(self) -> psutil.Popen | None:
        """One that lives, which is no standby any more; None where there is none."""
        while self._waiting:
            standby = self._waiting.pop(0)
            if standby.poll() is None:
                return standby
        return None

    def drop_ended(self) -> int:
        """How many ended by themselves since this was asked last."""
        before = len(self._waiting)
        self._waiting = [each for each in self._waiting if each.poll() is None]
        return before - len(self._waiting)

    def prepare(self, watcher: Any) -> None:
        """Start those that lack, where and as a worker of this watcher would be."""
        path = os.pathsep.join(filter(None, (str(ROOT), watcher.env.get("PYTHONPATH", ""))))
        while len(self._waiting) < self._count:
            standby = psutil.Popen(
                [sys.executable, "-m", "service.standby", ROOM],
                cwd=watcher.working_dir,
                env=watcher.env | {"PYTHONPATH": path},
                stdin=subprocess.PIPE,
                close_fds=False,  # it may have to serve any of the sockets
                start_new_session=True,
                preexec_fn=preexec(signal.SIGKILL),
            )
            self._waiting.append(standby)


def relieved(standbys: Standbys) -> Any:
    """The class of circus's processes, but that a standby becomes the worker where there is one."""
    from circus.process import Process

    class RelievedProcess(Process):  # type: ignore[misc] # circus is untyped
        def spawn(self) -> None:
            standby = standbys.take()
            if standby is None:
                super().spawn()
                return
            self.started = time.time()
            command = self.format_args(sockets_fds=self._get_sockets_fds())
            self._worker = standby
            told = json.dumps({"command": command, "variables": self.env})
            with suppress(BrokenPipeError):  # it died this moment, which is noticed as any worker's death
                standby.stdin.write(told.encode() + b"\n")
                standby.stdin.close()

    return RelievedProcess
