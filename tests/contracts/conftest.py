"""The stores on which the contract tests run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contracts.stores import Store, opened


@pytest.fixture(params=["valkey", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store in Valkey or in Redis."""
    yield from opened(request)


@pytest.fixture
def generations(store: Store) -> Any:
    """The generations of an empty store."""
    return store.generations
