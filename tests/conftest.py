"""Servers, deployments and generations that tests share; each is made once in a process that runs tests."""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from recsys.generation.manifest import GenerationFolder
from recsys.store import RedisGenerationStore
from recsys.store.embedded_valkey import EmbeddedValkey
from tests.sample_data import tiny
from tests.sample_data.shared import VARIABLE
from tests.servers.debian_program import REDIS
from tests.servers.deployment import Deployment
from tests.servers.deployment_with_flows import DeploymentWithFlows
from tests.servers.prefect_server import prefect_server
from tests.servers.store_server import StoreServer, empty
from training.encode.interaction_log import Log

# Prefect reads its home once, at its import: set it before a test module imports a flow.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="tandem-prefect-")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of shared data, and handle SIGINT and SIGHUP where they are ignored (behind & and nohup).

    Children inherit an ignored signal.
    """
    if VARIABLE not in os.environ:  # the processes of pytest-xdist inherit it
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="tandem-tests-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(VARIABLE), ignore_errors=True))
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse tests without a docstring."""
    silent = [item.nodeid for item in items if isinstance(item, pytest.Function) and not item.function.__doc__]
    if silent:
        raise pytest.UsageError("These tests have no docstring: " + ", ".join(silent))


def pytest_collection_finish() -> None:
    """Exclude imported modules from garbage collections: a full collection takes 0.5 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def embedded_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded Valkey, by its unix socket."""
    store = EmbeddedValkey(tmp_path_factory.mktemp("embedded"))
    yield store.ensure()
    store.stop()


@pytest.fixture(scope="session")
def own_valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey for tests that empty, fill or limit it."""
    server = StoreServer(tmp_path_factory.mktemp("own-valkey")).start()
    yield server.url
    server.stop()


@pytest.fixture
def empty_url(own_valkey_url: str) -> str:
    """A Valkey without data."""
    empty(own_valkey_url)
    return own_valkey_url


@pytest.fixture
def empty_store(empty_url: str) -> Iterator[RedisGenerationStore]:
    """The generations of a Valkey without data."""
    with closing(RedisGenerationStore(empty_url)) as store:
        yield store


@pytest.fixture(scope="session")
def own_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's Redis for tests that empty, fill or limit it."""
    server = StoreServer(tmp_path_factory.mktemp("own-redis"), _redis_binary()).start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prefect server for flows whose test needs no server of its own."""
    with prefect_server(tmp_path_factory.mktemp("prefect")) as url:
        yield url


@pytest.fixture(scope="session")
def harness(prefect_url: str) -> Iterator[None]:
    """The session's Prefect server, for tests that run flows in this process."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_url}):
        yield
        for handler in logging.getLogger("prefect.flow_runs").handlers:
            handler.flush()  # logs are sent in batches, before the server ends


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[GenerationFolder, Log]:
    """A generation trained on the tiny dataset, and its log."""
    return tiny.generation(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[GenerationFolder, Log]:
    """A generation of a shop with event types whose data ends three weeks ago, and the log until now."""
    return tiny.shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def published(tiny_world: tuple[GenerationFolder, Log], embedded_url: str) -> str:
    """Make the tiny generation live in the embedded store; its id."""
    return tiny.publish(tiny_world[0], RedisGenerationStore(embedded_url))


@pytest.fixture(scope="session")
def deployment(published: str, embedded_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment that serves the tiny generation over real sockets."""
    home = tmp_path_factory.mktemp("deployment")
    with Deployment(home, home / "service.log", REDIS_URL=embedded_url) as running:
        yield running


@pytest.fixture(scope="session")
def inline_deployment(
    harness: None, tiny_world: tuple[GenerationFolder, Log], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DeploymentWithFlows]:
    """A deployment in one process over a store of its own. Modules take `inline`, which empties the store before."""
    with DeploymentWithFlows(tmp_path_factory.mktemp("inline"), tiny_world[0]) as running:
        yield running


@pytest.fixture(scope="module")
def inline(
    inline_deployment: DeploymentWithFlows,
    tiny_world: tuple[GenerationFolder, Log],
    tmp_path_factory: pytest.TempPathFactory,
) -> DeploymentWithFlows:
    """That deployment, with the tiny generation live and nothing else in its store."""
    return inline_deployment.renew(tmp_path_factory.mktemp("module"), tiny_world[0])


def _redis_binary() -> Path:
    """A redis-server; without one the test is skipped."""
    binary = REDIS.find()
    if binary is None:
        pytest.skip("no redis-server on PATH, and none to unpack here (needs root, apt-get and its package sources)")
    return binary
