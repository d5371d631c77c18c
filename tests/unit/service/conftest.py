"""The event loop of tests that are coroutines (`pytest.mark.anyio`)."""

import pytest


@pytest.fixture
def anyio_backend():
    """The loop of the gateway's workers."""
    return "asyncio", {"use_uvloop": True}
