"""Mounts a small file system, as root, that a test can fill or make read-only."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise OSError(f"{' '.join(command)}: {result.stderr.strip()}")
