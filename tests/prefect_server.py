"""One Prefect server for the flows of many tests: its start is two thirds of what a flow on little data costs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.prefect_server import API_URL, PrefectServer
from tests.surroundings import surroundings


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """The URL of one that keeps its state under `home` and ends with the block."""
    surroundings(home)
    server = PrefectServer(home)
    with pytest.MonkeyPatch.context() as patch:
        for name in (API_URL, "no_proxy", "NO_PROXY"):
            patch.setenv(name, os.environ.get(name, "") if name != API_URL else "")
        patch.setenv("PREFECT_HOME", str(home / "prefect"))
        server.start()
        server.wait()
        url = os.environ[API_URL]
    yield url
    server.stop()
