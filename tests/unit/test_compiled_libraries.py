"""Where the environment forbids Python to keep what it compiled: `serve` says what that costs, and no peer is told."""

import importlib.util
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis

from loadtests.peers import servers
from service import serve
from service.serve import compiles_each_time
from service.settings import Settings


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


def test_a_peer_keeps_what_it_compiled(monkeypatch, tmp_path):
    """What the shell that measures forbids, a server that is measured does not hear of."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    command = [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]
    monkeypatch.setitem(servers.PEERS, "told", servers.Peer(command))
    world = SimpleNamespace(url="redis://127.0.0.1:1", generation=SimpleNamespace(path=tmp_path))
    with servers.started("told", world, tmp_path) as peer:
        peer.process.wait(30)
        assert peer.log.read_text() == "False\n"


@pytest.mark.parametrize("each_time", [True, False])
def test_serve_tells_whoever_waits(monkeypatch, each_time):
    """With the folder to compile, before it starts anything."""
    store = SimpleNamespace(url="redis://127.0.0.1:1")
    for name, stub in {
        "check": lambda *_: None,
        "_reached": lambda *_: nullcontext(store),
        "_to_serve": lambda *_: "generation g1",
        "_StopSignals": lambda: None,  # the tests' own Ctrl-C stays what it is
        "_start": lambda *_: said.append("started"),
        "_supervise": lambda *_: 0,
        "_end": lambda *_: None,
        "compiles_each_time": lambda: each_time,
    }.items():
        monkeypatch.setattr(serve, name, stub)
    said: list[str] = []
    assert serve.serve(Settings(), None, said.append) == 0
    told = [line for line in said if "compileall" in line]
    assert len(told) == each_time
    assert said[-1] == "started"
    assert all(sys.executable in line and sys.prefix in line for line in told)
