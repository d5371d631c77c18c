"""Where to find a redis-server for the contract tests. Installs nothing on the system and starts no service.

Where there is none on PATH, Debian's packages are unpacked into `.tandem/redis-server`, and kept for the next run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1"]

LIBRARIES = {  # in the order of releases: the first that the system's sources have
    "libssl.so.3": ["libssl3t64", "libssl3"],
    "libcrypto.so.3": ["libssl3t64", "libssl3"],
    "libsystemd.so.0": ["libsystemd0"],
    "libcap.so.2": ["libcap2"],
    "libstdc++.so.6": ["libstdc++6"],
    "liblua5.1.so.0": ["liblua5.1-0"],
}
"""What a slim system may lack besides."""

SECONDS = 60
"""For each command of apt: 2 MB are fetched."""


def redis_server() -> Path | None:
    """A redis-server to run, None where there is no way to one."""
    if found := shutil.which("redis-server"):
        return Path(found)
    home = Path(os.environ.get("TANDEM_HOME") or Path(__file__).parents[1] / ".tandem").absolute()
    script = home / "redis-server" / "redis-server"
    if _runs(script):
        return script
    if not all(map(shutil.which, ("apt-get", "dpkg", "ldd"))) or os.geteuid() != 0:
        return None
    return script if _unpack(script.parent) and _runs(script) else None


def _unpack(folder: Path) -> bool:
    """Fetch the packages and unpack them into `folder`, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        root = Path(temporary) / "root"
        if not _fetch(PACKAGES, root):
            _run(["apt-get", "update", "-q"])
            if not _fetch(PACKAGES, root):
                return False
        for candidates in _missing(root):
            any(_fetch([package], root) for package in candidates)
        (root / "redis-server").write_text(
            f'#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\nexport LD_LIBRARY_PATH={_library_path("$here")}\n'
            'exec "$here/usr/bin/redis-server" "$@"\n'
        )
        (root / "redis-server").chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        root.rename(folder)
    return True


def _fetch(packages: list[str], root: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        if not _run(["apt-get", "download", "-q", *packages], cwd=folder):
            return False
        return all(_run(["dpkg", "-x", str(package), str(root)]) for package in Path(folder).glob("*.deb"))


def _missing(root: Path) -> list[list[str]]:
    """For each library the unpacked server lacks, the packages that may hold it."""
    shown = subprocess.run(
        ["ldd", str(root / "usr/bin/redis-server")],
        env={**os.environ, "LD_LIBRARY_PATH": _library_path(str(root))},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    ).stdout
    names = [line.split()[0] for line in shown.splitlines() if "not found" in line]
    return [LIBRARIES.get(name, []) for name in names]


def _library_path(root: str) -> str:
    machine = os.uname().machine
    return ":".join(f"{root}/{folder}/{machine}-linux-gnu" for folder in ("usr/lib", "lib"))


def _runs(script: Path) -> bool:
    return script.exists() and _run([str(script), "--version"])


def _run(command: list[str], cwd: str | None = None) -> bool:
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, timeout=SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
