"""Fixtures of the flow tests."""

import pytest
import redis


@pytest.fixture(scope="session")
def bucket():
    """An S3 server with a bucket."""
    from tests.servers.s3_server import s3_server

    with s3_server() as started:
        yield started


@pytest.fixture
def shop(harness, prefect_url, tiny_world, own_valkey_url, tmp_path, monkeypatch):
    """A store with a live generation and no events."""
    from tests.flows.shop import Shop  # here, because it imports flows

    with redis.Redis.from_url(own_valkey_url) as client:
        client.flushall()
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", own_valkey_url)
    monkeypatch.setenv("TANDEM_RULES", str(tmp_path / "rules.toml"))
    (tmp_path / "rules.toml").touch()
    return Shop(tmp_path, own_valkey_url, tiny_world[0], prefect_url)
