"""A rehearsal: kernels lie compiled before a first run needs them."""

import os
import time

import psutil
import pytest

from training import rehearsal


def test_it_is_needed_where_nothing_lies_compiled(tmp_path, monkeypatch):
    """Where numba looks; a kernel there is enough."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert rehearsal.needed()
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "search.scan-82.py311.nbi").touch()
    assert not rehearsal.needed()


def test_it_trains_exports_and_tries(monkeypatch):
    """The whole way, so that every kernel on it is called; the folder goes again."""
    made = []
    monkeypatch.setattr(os, "nice", lambda _: 0)
    monkeypatch.setattr(rehearsal, "try_out", lambda folder: made.append((folder, folder.manifest)))
    assert rehearsal.main() == 0
    [(folder, manifest)] = made
    assert manifest.data["items"] == rehearsal.ITEMS
    assert not folder.path.exists()


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one core")
def test_it_ends_with_who_began_it(tmp_path, monkeypatch):
    """Whether it was done or not."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    with rehearsal.rehearsing():
        [child] = [each for each in me.children() if each.pid not in before]
        end = time.monotonic() + 10
        while "training.rehearsal" not in child.cmdline() and time.monotonic() < end:
            time.sleep(0.01)
        assert "training.rehearsal" in child.cmdline()
    assert not child.is_running()


def test_nobody_rehearses_twice(tmp_path, monkeypatch):
    """Nothing is started where something lies compiled."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "tower.nbi").touch()
    monkeypatch.setattr(rehearsal.subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    with rehearsal.rehearsing():
        pass
