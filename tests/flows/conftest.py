"""Flow tests keep Prefect's state out of the user's home and out of the checkout."""

import logging
import os
import tempfile

import pytest
import redis

# Prefect reads its home once, when it is imported: this must stand before any test module imports a flow.
os.environ["PREFECT_HOME"] = tempfile.mkdtemp(prefix="tandem-prefect-")


@pytest.fixture(scope="session")
def harness(prefect_url):
    """That server, for the tests that run tasks in this process."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: prefect_url}):
        yield
        for handler in logging.getLogger("prefect.flow_runs").handlers:
            handler.flush()  # logs are sent in batches, and the server ends next


@pytest.fixture(scope="session")
def bucket():
    """An S3 server with a bucket."""
    from tests.servers.s3_server import s3_server

    with s3_server() as started:
        yield started


@pytest.fixture
def shop(harness, prefect_url, tiny_world, own_valkey_url, tmp_path, monkeypatch):
    """One that is open, with nothing done in it yet."""
    from tests.flows.shop import Shop  # and with it what may import a flow

    with redis.Redis.from_url(own_valkey_url) as client:
        client.flushall()
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", own_valkey_url)
    monkeypatch.setenv("TANDEM_RULES", str(tmp_path / "rules.toml"))
    (tmp_path / "rules.toml").touch()
    return Shop(tmp_path, own_valkey_url, tiny_world[0], prefect_url)
