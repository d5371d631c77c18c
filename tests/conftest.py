"""Stores for every test that wants a real one, started once a session."""

from __future__ import annotations

import gc
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from recsys.generation.manifest import GenerationFolder
from recsys.process import parent_death
from recsys.store import RedisGenerationStore
from recsys.store.embedded_valkey import EmbeddedValkey
from tests.sample_data import tiny
from tests.servers.debian_redis import debian_redis
from tests.servers.deployment import Deployment
from tests.servers.prefect_server import prefect_server
from tests.servers.store_server import StoreServer
from training.data.interaction_log import Log


def pytest_configure() -> None:
    """What tests start hears Ctrl-C and a closed terminal, though the tests themselves may run behind & or nohup."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # a handler is not inherited by what is started, ignoring is


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a test that does not say in a sentence what it shows."""
    silent = [item.nodeid for item in items if isinstance(item, pytest.Function) and not item.function.__doc__]
    if silent:
        raise pytest.UsageError("These tests don't say what they show: " + ", ".join(silent))


def pytest_collection_finish() -> None:
    """Keep what was imported out of garbage collections: each of the whole heap takes half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded Valkey, by its unix socket."""
    store = EmbeddedValkey(tmp_path_factory.mktemp("embedded"))
    yield store.ensure()
    store.stop()


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Redis, by TCP."""
    binary = _redis_binary()
    port = _free_port()
    folder = tmp_path_factory.mktemp("redis")
    process = subprocess.Popen(
        [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""],
        stdout=subprocess.DEVNULL,
        preexec_fn=parent_death.preexec(),
    )
    url = f"redis://127.0.0.1:{port}/0"
    _wait(url)
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="session")
def own_valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey for tests that empty, fill or limit it: nothing that others use is in it."""
    server = StoreServer(tmp_path_factory.mktemp("own-valkey")).start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def own_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Redis, likewise."""
    server = StoreServer(tmp_path_factory.mktemp("own-redis"), _redis_binary()).start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server, for flows whose test is not about a server of their own."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as url:
        yield url


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[GenerationFolder, Log]:
    """A generation trained on the tiny world, and the log it was trained on."""
    return tiny.generation(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[GenerationFolder, Log]:
    """A generation of a shop with event types that ends three weeks ago, and the log until now."""
    now = time.time()
    return tiny.shop(tmp_path_factory.mktemp("shop"), now - 60, now - 21 * 86_400)


@pytest.fixture(scope="session")
def published(tiny_world: tuple[GenerationFolder, Log], embedded_url: str) -> str:
    """The tiny world's generation, live in the embedded store; its id."""
    return tiny.publish(tiny_world[0], RedisGenerationStore(embedded_url))


@pytest.fixture(scope="session")
def deployment(published: str, embedded_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The whole deployment serving the tiny world over real sockets."""
    home = tmp_path_factory.mktemp("deployment")
    with Deployment(home, home / "service.log", REDIS_URL=embedded_url) as running:
        yield running


@pytest.fixture(scope="session")
def untouched(
    tiny_world: tuple[GenerationFolder, Log], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A deployment that nobody sends events or items to: what it answers is what its generation says."""
    home = tmp_path_factory.mktemp("untouched")
    server = StoreServer(home / "store").start()
    tiny.publish(tiny_world[0], RedisGenerationStore(server.url))
    with Deployment(home, home / "service.log", REDIS_URL=server.url) as running:
        yield running
    server.stop()


def _redis_binary() -> Path:
    """A redis-server; the test is skipped where there is none."""
    binary = debian_redis()
    if binary is None:
        pytest.skip("no redis-server on PATH, and none to unpack here (needs root, apt-get and its package sources)")
    return binary


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(url: str) -> None:
    deadline = time.monotonic() + 10
    with redis.Redis.from_url(url, retry=None) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return
