"""The stores of the contract suites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contracts.stores import Store, opened


@pytest.fixture(params=["memory", "valkey", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Every store there is."""
    yield from opened(request)


@pytest.fixture(params=["valkey", "redis"])
def real(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The stores that have keys to look at."""
    yield from opened(request)
