"""The compilation of kernels beside a first run."""

import os
import time

import psutil
import pytest

from flows import kernel_compilation

MORE_CORES = pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one core")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The path of numba's cache, which does not exist yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@MORE_CORES
def test_an_empty_cache_needs_compilation(cache):
    """One compiled kernel in the cache is enough to skip it."""
    assert kernel_compilation.compilation_needed()
    (cache / "kernels").mkdir(parents=True)
    assert kernel_compilation.compilation_needed()
    (cache / "kernels" / "search.scan-82.py311.nbi").touch()
    assert not kernel_compilation.compilation_needed()


@MORE_CORES
def test_the_compilation_ends_with_the_run(cache, tmp_path, monkeypatch):
    """Its process ends unfinished, and its temporary files are removed."""
    monkeypatch.setattr(kernel_compilation.tempfile, "tempdir", str(tmp_path))
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    with kernel_compilation.compiling_kernels():
        [child] = [each for each in me.children() if each.pid not in before]
        assert "training.warm_kernels" in child.cmdline()
        [folder] = tmp_path.glob("tandem-kernels-*")
        end = time.monotonic() + 120
        while not list(folder.iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        assert list(folder.iterdir())
    assert not child.is_running()
    assert not folder.exists()
