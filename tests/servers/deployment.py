"""Starts the whole service (`python -m service serve`) for tests over real sockets, and finds its worker processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from loadtests.processes.free_ports import free_ports
from recsys.process import parent_death

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("Retrieval", "Ranking", "Gateway")

READY_SECONDS = 300

IN_A_ROW = 12
"""Answers of /readyz with 200, so that each of several gateway workers has given one."""


def free_port() -> int:
    """A port that no process listens on."""
    return free_ports(1)[0]


def wait_for(condition: Callable[[], object], seconds: float = 60.0, pause: float = 0.05) -> None:
    """Return when a condition is true; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not true within {seconds:g} s"
        time.sleep(pause)


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    below, todo = set(), [pid]
    while todo:
        for child in children.get(todo.pop(), []):
            below.add(child)
            todo.append(child)
    return below


def command(pid: int) -> bytes:
    """The command line of a process; empty if the process has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # now, or between open and read
        return b""


def workers(deployment: Deployment, service: str) -> set[int]:
    """The worker processes of one service of a deployment, by BentoML's name of the service."""
    name = f"--service-name\0{service}\0".encode()
    return {pid for pid in descendants(deployment.process.pid) if name in command(pid)}


def alive(pids: set[int]) -> set[int]:
    """The processes that run; a zombie does not."""
    running = set()
    for pid in pids:
        try:
            state = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            running.add(pid)
    return running


def wait_until_gone(pids: set[int], seconds: float = 15) -> set[int]:
    """The processes that still run after at most so many seconds."""
    end = time.monotonic() + seconds
    while (left := alive(pids)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


class Deployment:
    """`python -m service serve` on a free port; a context manager that ends it."""

    def __init__(
        self, home: Path, log: Path, command: list[str] | None = None, cwd: Path = ROOT, **variables: str
    ) -> None:
        self.port, self.grpc_port = free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.grpc = f"127.0.0.1:{self.grpc_port}"
        self.log = log
        self._command = [part.format(port=self.port) for part in command or [sys.executable, "-m", "service", "serve"]]
        self._cwd = cwd
        inherited = {k: v for k, v in os.environ.items() if k not in {"REDIS_URL", "PORT", "TANDEM_HOME"}}
        ports = {"PORT": str(self.port), "GRPC_PORT": str(self.grpc_port)}
        self.rules, self.surfaces = home / "rules.toml", home / "surfaces.toml"
        own = {"TANDEM_HOME": str(home), "TANDEM_RULES": str(self.rules), "TANDEM_SURFACES": str(self.surfaces)}
        self._env = inherited | ports | own | variables

    def start(self) -> None:
        """Start without waiting."""
        self.rules.parent.mkdir(parents=True, exist_ok=True)
        for path in (self.rules, self.surfaces):
            path.touch()  # the variables have to name files
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._cwd,
                env=self._env,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=parent_death.preexec(),  # a test run that is interrupted leaves no server behind
            )

    def wait_until_ready(self) -> None:
        """Wait until /readyz has returned 200 IN_A_ROW times in a row."""
        end, ready = time.monotonic() + READY_SECONDS, 0
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                answer = httpx.get(f"{self.url}/readyz", timeout=2, verify=False)  # reading certificates takes 10 ms
                ready = ready + 1 if answer.status_code == 200 else 0
            except httpx.HTTPError:
                ready = 0
            if ready == IN_A_ROW:
                return
            time.sleep(0 if ready else 0.2)
        raise AssertionError(f"not ready:\n{self.log.read_text()}")

    def stop(self) -> int:
        """Send SIGTERM and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> Deployment:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.process.kill()  # the workers end with their parent
            self.process.wait()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
