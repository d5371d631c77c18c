"""Fixtures of the tests of a running service."""

import httpx
import pytest


@pytest.fixture(scope="module")
def client(deployment):
    """A client of the shared deployment."""
    with httpx.Client(base_url=deployment.url, timeout=60) as opened:
        yield opened
