"""Servers that the benchmark compares: the command and environment of each, and how it is started and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from loadtests.bench.peers.environment import ENGINE, GENERATION, STORE
from loadtests.bench.world import World
from loadtests.processes.free_ports import free_ports
from loadtests.slo import ROOT
from recsys.errors import TandemError
from recsys.process.parent_death import preexec

READY_SECONDS = 180.0
_OURS = [sys.executable, "-m", "service", "serve"]
_FASTAPI = [
    *(sys.executable, "-m", "uvicorn", "loadtests.bench.peers.fastapi_monolith:app", "--port", "{port}"),
    *("--workers", "2", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
]
_BENTOML = [
    *(sys.executable, "-m", "bentoml", "serve", "loadtests.bench.peers.bentoml_kernels:PeerGateway"),
    *("--port", "{port}"),
]


class PeerError(TandemError):
    """A peer does not start, or its slates differ from those of the other peers."""


@dataclass(frozen=True)
class Peer:
    """The command of a server, where {port} stands for its port, and variables of its environment."""

    command: list[str]
    variables: Mapping[str, str]


PEERS = {
    "split": Peer(_OURS, {"TANDEM_TOPOLOGY": "split"}),
    "inline": Peer(_OURS, {"TANDEM_TOPOLOGY": "inline"}),
    "fastapi_monolith": Peer(_FASTAPI, {ENGINE: "plain"}),
    "fastapi_same_kernels": Peer(_FASTAPI, {ENGINE: "kernels"}),
    "bentoml_kernels": Peer(_BENTOML, {ENGINE: "kernels"}),
}
"""By name. Each has two processes that compute: two workers, or retrieval and ranking."""


@dataclass(frozen=True)
class Running:
    """A running server."""

    url: str
    pid: int


@dataclass(frozen=True)
class Started:
    """A process that may not answer yet. log: its output."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def silence(self) -> PeerError:
        """The error for a peer that does not answer."""
        output = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        return PeerError(f"A peer did not answer. {self.log} ends with: {output}")


@contextmanager
def running(name: str, world: World, home: Path, **more: str) -> Iterator[Running]:
    """Run a peer over a world until the caller is done. more: variables of its environment."""
    with started(name, world, home, **more) as peer:
        _answering(peer)
        yield Running(peer.url, peer.process.pid)


@contextmanager
def started(name: str, world: World, home: Path, **more: str) -> Iterator[Started]:
    """Start a peer over a world without waiting for an answer, and stop it when the caller is done."""
    peer, port, grpc_port = PEERS[name], *free_ports(2)
    home.mkdir(parents=True, exist_ok=True)
    own = {"TANDEM_RULES": home / "rules.toml", "TANDEM_SURFACES": home / "surfaces.toml"}
    for path in own.values():
        path.touch()
    variables = {
        "PORT": str(port),
        "GRPC_PORT": str(grpc_port),
        "REDIS_URL": world.url,
        "TANDEM_HOME": str(home),
        **{name: str(path) for name, path in own.items()},
        "TANDEM_IMPRESSIONS_PER_SECOND": "0",  # no peer logs what it showed
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "",  # where it is set, each start compiles all that it imports (docs/decisions.md)
        STORE: world.url,
        GENERATION: str(world.generation.path.resolve()),
        **peer.variables,
        **more,
    }
    log = home / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [part.format(port=port) for part in peer.command],
            cwd=ROOT,
            env=os.environ | variables,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=preexec(signal.SIGTERM),
        )
    try:
        yield Started(f"http://127.0.0.1:{port}", process, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a peer, and kill the workers that it leaves behind."""
    below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(30)
    for each in below:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    process.kill()
    process.wait()


def _answering(peer: Started) -> None:
    """Return once every worker is likely to have answered a request."""
    end, answered = time.monotonic() + READY_SECONDS, 0
    while time.monotonic() < end:
        if peer.process.poll() is not None:
            break
        try:
            answer = httpx.post(f"{peer.url}/recommend", json={"user_id": "nobody", "k": 10}, timeout=5)
            answered = answered + 1 if answer.status_code == 200 else 0
        except httpx.HTTPError:
            answered = 0
        if answered == 20:
            return
        time.sleep(0 if answered else 0.3)
    raise peer.silence
