"""Where the environment forbids Python to keep what it compiled: `serve` says what that costs, and no peer is told."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis

from loadtests.peers import servers
from service.serve import compiles_each_time


@pytest.mark.parametrize(
    ("forbidden", "compiled", "each_time"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_says_so_where_nothing_compiled_is_kept(monkeypatch, tmp_path, forbidden, compiled, each_time):
    """A start that compiles all it imports is told so, one that need not hears nothing."""
    monkeypatch.setattr(sys, "dont_write_bytecode", forbidden)
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    if compiled:
        kept = Path(importlib.util.cache_from_source(redis.__file__))
        kept.parent.mkdir(parents=True)
        kept.touch()
    assert compiles_each_time() is each_time


def test_a_peer_keeps_what_it_compiled(monkeypatch, tmp_path):
    """What the shell that measures forbids, a server that is measured does not hear of."""
    monkeypatch.setenv(servers.UNCOMPILED, "1")
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    monkeypatch.setitem(servers.PEERS, "told", servers.Peer(command))
    world = SimpleNamespace(url="redis://127.0.0.1:1", generation=SimpleNamespace(path=tmp_path))
    with servers.started("told", world, tmp_path) as peer:
        peer.process.wait(30)
        assert peer.log.read_text() == "False\n"
