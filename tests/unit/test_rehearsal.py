"""A rehearsal: kernels lie compiled before a first run needs them."""

import os
import time
from functools import partial

import psutil
import pytest
import torch

from flows import rehearsing
from recsys.kernels import search, sources
from training import rehearsal

MORE_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one core")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where numba would keep what is compiled; it is not there yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@MORE_CORES
def test_it_is_needed_where_nothing_lies_compiled(cache):
    """Where numba looks; one kernel there is enough."""
    assert rehearsing.needed()
    (cache / "kernels").mkdir(parents=True)
    assert rehearsing.needed()
    (cache / "kernels" / "search.scan-82.py311.nbi").touch()
    assert not rehearsing.needed()


@MORE_CORES
def test_it_is_of_no_use_where_nothing_can_be_kept(cache, monkeypatch):
    """A folder that may not be written, or loops that are not compiled."""
    monkeypatch.setattr(os, "access", lambda path, _: path != cache.parent)
    assert not rehearsing.needed()
    monkeypatch.undo()
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert not rehearsing.needed()


def test_it_is_of_no_use_on_one_core(cache, monkeypatch):
    """Which has the run itself to do."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert not rehearsing.needed()


def test_it_trains_exports_and_tries(tmp_path, monkeypatch, request):
    """The whole way, so that the kernels of both stages are called; its folder goes again."""
    request.addfinalizer(partial(torch.set_num_threads, torch.get_num_threads()))
    monkeypatch.setattr(rehearsal.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(rehearsal, "watch_parent", lambda *_: None)
    assert rehearsal.main() == 0
    assert search.find.signatures
    assert sources.bring.signatures
    assert not list(tmp_path.glob("tandem-rehearsal-*"))


@MORE_CORES
def test_it_ends_with_the_run(cache, tmp_path, monkeypatch):
    """Though it is not done, and what it wrote goes with it."""
    monkeypatch.setattr(rehearsing.tempfile, "tempdir", str(tmp_path))
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    with rehearsing.rehearsing():
        [child] = [each for each in me.children() if each.pid not in before]
        assert "training.rehearsal" in child.cmdline()
        [folder] = tmp_path.glob("tandem-rehearsal-*")
        end = time.monotonic() + 120
        while not list(folder.iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        assert list(folder.iterdir())
    assert not child.is_running()
    assert not folder.exists()


def test_nobody_rehearses_twice(cache, monkeypatch):
    """Nothing is started where something lies compiled."""
    cache.mkdir()
    (cache / "tower.nbi").touch()
    monkeypatch.setattr(rehearsing.subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    with rehearsing.rehearsing():
        pass
