"""Disk faults for chaos tests: the disk for downloaded models is full or read-only when the service must load new ones.

The disk is a small file system, which only root may mount.
"""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.judged_load.outcome import NO_EFFECT, Outcome, judge
from tests.judged_load.served_pair import GenerationPair, ServedPair

T = TypeVar("T")


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """Mount a file system of so many MiB at `folder`; OSError if this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        _run("umount", "-l", str(folder))


def remount(folder: Path, mode: str) -> None:
    """Mount the file system at `folder` again; mode: "ro" or "rw"."""
    _run("mount", "-o", f"remount,{mode}", str(folder))


def fill(folder: Path) -> Path:
    """Fill the disk of a folder with one file, and return the file."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return ballast


def may_mount(folder: Path) -> bool:
    """Whether this user may mount a file system."""
    try:
        with small_disk(folder, 1):
            return True
    except OSError:
        return False


def cache_full(pair: GenerationPair, folder: Path) -> Outcome:
    """The disk is full."""
    return _disk_fault(pair, folder, "cache full", "No space left", fill, lambda _, ballast: ballast.unlink())


def cache_read_only(pair: GenerationPair, folder: Path) -> Outcome:
    """The disk is read-only."""
    return _disk_fault(
        *(pair, folder, "cache read-only", "Read-only"),
        lambda cache: remount(cache, "ro"),
        lambda cache, _: remount(cache, "rw"),
    )


def _disk_fault(
    pair: GenerationPair,
    folder: Path,
    name: str,
    reason: str,
    begin: Callable[[Path], T],
    end: Callable[[Path, T], object],
) -> Outcome:
    """The next generation is refused with the folder and the reason, and served once the disk can be written."""
    second, wrong = pair.second.manifest.id, []
    with small_disk(folder / "home" / "cache", 32) as cache, ServedPair(folder, pair) as world:
        world.put(pair.second)
        with world.load() as load:
            fault = begin(cache)
            world.store.promote(second)
            world.wait_for(lambda status: second in status["refused"])
            note = world.status()["refused"].get(second, "no process refused it")
            if reason not in note or str(cache) not in note:
                wrong.append(note)
            if world.status()["generation"] != pair.first.manifest.id:
                wrong.append("the old generation is not served")
            end(cache, fault)
            took = world.wait_for(lambda status: status["generation"] == second, 60)
            if took is None:
                wrong.append("the next generation was not served when the disk could be written")
    note = note.replace(str(cache), "CACHE")
    return judge(name, load.answers, pair.expected, NO_EFFECT, recovery=took, note=note, wrong=wrong)


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise OSError(f"{' '.join(command)}: {result.stderr.strip()}")
