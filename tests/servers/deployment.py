"""The deployment as its users start it, in processes of its own, for tests over real sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import httpx

from loadtests.processes.free_ports import free_ports

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 120
IN_A_ROW = 12


def free_port() -> int:
    """A port nobody listens on now."""
    return free_ports(1)[0]


def descendants(pid: int) -> set[int]:
    """Every process below `pid`."""
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
    """The command line of a process, empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # now, or between open and read
        return b""


def alive(pids: set[int]) -> set[int]:
    """Those still running; a zombie is not."""
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
    """What is left of `pids` after at most so long."""
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
        self.rules = home / "rules.toml"
        own = {"TANDEM_HOME": str(home), "TANDEM_RULES": str(self.rules)}
        self._env = inherited | ports | own | variables

    def start(self) -> None:
        """Start without waiting."""
        self.rules.parent.mkdir(parents=True, exist_ok=True)
        self.rules.touch()  # who names a file of rules has one
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self._command, cwd=self._cwd, env=self._env, stdout=output, stderr=subprocess.STDOUT
            )

    def wait_until_ready(self) -> None:
        """Return when /readyz says yes, so often in a row that each of several gateway workers has said it."""
        end, yes = time.monotonic() + READY_SECONDS, 0
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            try:
                yes = yes + 1 if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200 else 0
            except httpx.HTTPError:
                yes = 0
            if yes == IN_A_ROW:
                return
            time.sleep(0 if yes else 0.2)
        raise AssertionError(f"not ready:\n{self.log.read_text()}")

    def stop(self) -> int:
        """End it in order; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> Deployment:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.process.kill()  # its workers end with it
            self.process.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
