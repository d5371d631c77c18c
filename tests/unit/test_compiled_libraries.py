"""Where the environment forbids Python to keep what it compiled: `serve` says what that costs, and no peer is told."""

import importlib.util
import sys
from pathlib import Path

import pytest
import redis

from service.serve import compiles_each_time


@pytest.mark.parametrize(
    ("forbidden", "compiled", "each_time"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_says_so_where_nothing_compiled_is_kept(monkeypatch, tmp_path, forbidden, compiled, each_time):
    """A start that compiles all it imports is told so, one that need not hears nothing."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1" if forbidden else "")
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    if compiled:
        kept = Path(importlib.util.cache_from_source(redis.__file__))
        kept.parent.mkdir(parents=True)
        kept.touch()
    assert compiles_each_time() is each_time
