"""The compilation of kernels beside a first run."""

import os
import time

import psutil
import pytest

from flows.cli import kernel_compilation


@pytest.mark.skipif(len(os.sched_getaffinity(0)) == 1, reason="one core")
def test_an_empty_cache_is_filled_beside_the_run(tmp_path, monkeypatch):
    """The process ends with the run, and its temporary files are removed; one kernel in the cache is enough."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
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
    (tmp_path / "cache" / "kernels").mkdir(parents=True, exist_ok=True)
    (tmp_path / "cache" / "kernels" / "search.scan-82.py311.nbi").touch()
    with kernel_compilation.compiling_kernels():
        assert {each.pid for each in me.children()} <= before
