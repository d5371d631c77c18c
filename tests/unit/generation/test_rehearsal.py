"""A rehearsal: kernels lie compiled before a first run needs them."""

import os
import time

import psutil
import pytest

from flows import kernel_warm_up

MORE_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one core")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where numba would keep what is compiled; it is not there yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@MORE_CORES
def test_it_is_needed_where_nothing_lies_compiled(cache):
    """Where numba looks; one kernel there is enough."""
    assert kernel_warm_up.needed()
    (cache / "kernels").mkdir(parents=True)
    assert kernel_warm_up.needed()
    (cache / "kernels" / "search.scan-82.py311.nbi").touch()
    assert not kernel_warm_up.needed()


@MORE_CORES
def test_it_ends_with_the_run(cache, tmp_path, monkeypatch):
    """Though it is not done, and what it wrote goes with it."""
    monkeypatch.setattr(kernel_warm_up.tempfile, "tempdir", str(tmp_path))
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    with kernel_warm_up.rehearsing():
        [child] = [each for each in me.children() if each.pid not in before]
        assert "training.warm_kernels" in child.cmdline()
        [folder] = tmp_path.glob("tandem-rehearsal-*")
        end = time.monotonic() + 120
        while not list(folder.iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        assert list(folder.iterdir())
    assert not child.is_running()
    assert not folder.exists()
