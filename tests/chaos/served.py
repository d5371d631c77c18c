"""Two generations, a Redis of our own, and a deployment that serves one of them: what faults are done to."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from recsys.generation.manifest import MANIFEST, GenerationFolder, describe
from recsys.generation.publisher import Publisher
from recsys.store import RedisGenerationStore
from tests.chaos.expected import Expected
from tests.chaos.load import Load
from tests.sample_data import tiny
from tests.servers.deployment import Deployment
from tests.servers.store_server import StoreServer

USERS: list[int | str] = [*range(0, tiny.USERS, 7), "a stranger", "another"]


@dataclass(frozen=True)
class Pair:
    """Two generations of the same items and users, and what each answers."""

    first: GenerationFolder
    second: GenerationFolder
    expected: dict[str, Expected]

    @classmethod
    def make(cls, folder: Path) -> Pair:
        """Train both on tiny worlds; seconds."""
        made = [tiny.generation(folder / f"world-{seed}", seed)[0] for seed in (0, 1)]
        return cls(*made, {each.manifest.id: Expected(each) for each in made})


class Served:
    """A deployment over a Redis of its own that serves `pair.first`."""

    def __init__(self, folder: Path, pair: Pair, binary: Path | None = None, **settings: str) -> None:
        self.folder, self.pair, self.settings = folder, pair, settings
        self.home = folder / "home"
        self.server = StoreServer(folder / "redis", binary)

    def __enter__(self) -> Served:
        self.server.start()
        self.store = RedisGenerationStore(self.server.url)
        self.put(self.pair.first)
        self.store.promote(self.pair.first.manifest.id)
        self.deployment = self.deploy()
        self.deployment.start()
        self.deployment.wait_until_ready()
        self.wait_for(lambda status: status["generation"] == self.pair.first.manifest.id)
        return self

    def __exit__(self, *_: object) -> None:
        self.deployment.stop()
        self.store.close()
        self.server.stop()

    def deploy(self, **settings: str) -> Deployment:
        """A deployment of this world's, not started."""
        variables = {"REDIS_URL": self.server.url, **self.settings, **settings}
        return Deployment(self.home, self.folder / f"service-{time.monotonic_ns()}.log", **variables)

    @property
    def expected(self) -> dict[str, Expected]:
        """What the generations answer, by id."""
        return self.pair.expected

    def put(self, folder: GenerationFolder) -> None:
        """Put a generation into the store, and nothing more: whoever could write into Redis can do as much."""
        Publisher(self.store, self.folder / "trials").publish(folder)

    @property
    def ports(self) -> set[int]:
        """All that it opens."""
        return {self.deployment.port, self.deployment.grpc_port}

    def load(self, rate: float = 40.0) -> Load:
        """Requests to the deployment."""
        return Load(self.deployment.url, USERS, rate)

    def status(self) -> dict[str, Any]:
        """What the deployment says of itself."""
        told: dict[str, Any] = httpx.get(f"{self.deployment.url}/status", timeout=10).json()
        return told

    def wait_for(self, wanted: Callable[[dict[str, Any]], Any], seconds: float = 30) -> float | None:
        """Seconds until the status is as wanted; None if it is not in so long."""
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            if wanted(self.status()):
                return passed
            time.sleep(0.05)
        return None

    def metric(self, name: str) -> float:
        """The sum of a metric over all its labels."""
        text = httpx.get(f"{self.deployment.url}/metrics", timeout=10).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def settle(self) -> None:
        """Let `pair.first` be live, in force and whole again."""
        first = self.pair.first.manifest.id
        if self.store.alias("live") != first:
            self.store.promote(first)
        assert self.wait_for(lambda status: status["generation"] == first and status["store"] == "ok") is not None


def altered(
    folder: GenerationFolder, target: Path, change: Callable[[Path], None], **manifest: Any
) -> GenerationFolder:
    """A copy under an id of its own with something changed, and a manifest that vouches for it."""
    shutil.copytree(folder.path, target)
    change(target)
    copy = GenerationFolder(target)
    told = replace(copy.manifest, id=target.name, parts=describe(target), **manifest)
    (target / MANIFEST).unlink()
    copy.seal(told)
    return copy


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A real file system of so many MiB at `folder`; OSError where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "-l", str(folder))


def remount(folder: Path, how: str) -> None:
    """From now on the file system at `folder` is "ro" or "rw"."""
    _run("mount", "-o", f"remount,{how}", str(folder))


def fill(folder: Path) -> Path:
    """Leave no room on the disk of a folder; the file that takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return ballast


def may_mount(folder: Path) -> bool:
    """Whether this user may mount a file system."""
    if os.geteuid() != 0:
        return False
    try:
        with small_disk(folder, 1):
            return True
    except OSError:
        return False


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise OSError(f"{' '.join(command)}: {result.stderr.strip()}")
