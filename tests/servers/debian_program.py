"""Finds a server program for tests, such as Redis or HAProxy, or unpacks it from Debian's packages.

Nothing is installed on the system and no service is started. Packages are unpacked into a folder of `.tandem` only
where the program is not on PATH, and kept for the next run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

SECONDS = 60
"""For each command of apt, which fetches a few MB."""

DEPTH = 2
"""Rounds of fetching: a library may need another library."""


@dataclass(frozen=True)
class DebianProgram:
    """A program, its path within the packages, and the packages of libraries that a slim system may lack.

    libraries: for each file name of a library the packages that may hold it, in the order of Debian's releases.
    """

    path: str
    packages: list[str]
    libraries: dict[str, list[str]] = field(default_factory=dict)
    version: str = "--version"

    @property
    def name(self) -> str:
        """The program's name."""
        return Path(self.path).name

    def find(self) -> Path | None:
        """The program, unpacked if necessary; None if that is not possible (not root, no apt, no package source)."""
        if found := shutil.which(self.name):
            return Path(found)
        home = Path(os.environ.get("TANDEM_HOME") or Path(__file__).parents[2] / ".tandem").absolute()
        script = home / self.name / self.name
        if self._runs(script):
            return script
        if not all(map(shutil.which, ("apt-get", "dpkg", "ldd"))) or os.geteuid() != 0:
            return None
        return script if self._unpack(script.parent) and self._runs(script) else None

    def _unpack(self, folder: Path) -> bool:
        """Fetch the packages and unpack them into `folder`, completely or not at all."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            root = Path(temporary) / "root"
            if not _fetch(self.packages, root):
                _run(["apt-get", "update", "-q"])
                if not _fetch(self.packages, root):
                    return False
            for _ in range(DEPTH):
                for candidates in self._missing(root):
                    any(_fetch([package], root) for package in candidates)
            script = root / self.name
            script.write_text(
                f'#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\nexport LD_LIBRARY_PATH={_library_path("$here")}\n'
                f'exec "$here/{self.path}" "$@"\n'
            )
            script.chmod(0o755)
            shutil.rmtree(folder, ignore_errors=True)
            root.rename(folder)
        return True

    def _missing(self, root: Path) -> list[list[str]]:
        """For each library that the unpacked program lacks, the packages that may hold it."""
        listing = subprocess.run(
            ["ldd", str(root / self.path)],
            env={**os.environ, "LD_LIBRARY_PATH": _library_path(str(root))},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        ).stdout
        names = [line.split()[0] for line in listing.splitlines() if "not found" in line]
        return [self.libraries.get(name, []) for name in names]

    def _runs(self, script: Path) -> bool:
        return script.exists() and _run([str(script), self.version])


REDIS = DebianProgram(
    "usr/bin/redis-server",
    ["redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1"],
    {
        "libssl.so.3": ["libssl3t64", "libssl3"],
        "libcrypto.so.3": ["libssl3t64", "libssl3"],
        "libsystemd.so.0": ["libsystemd0"],
        "libcap.so.2": ["libcap2"],
        "libstdc++.so.6": ["libstdc++6"],
        "liblua5.1.so.0": ["liblua5.1-0"],
    },
)

REDIS_CLI = replace(REDIS, path="usr/bin/redis-cli")


def _fetch(packages: list[str], root: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        if not _run(["apt-get", "download", "-q", *packages], cwd=folder):
            return False
        return all(_run(["dpkg", "-x", str(package), str(root)]) for package in Path(folder).glob("*.deb"))


def _library_path(root: str) -> str:
    machine = os.uname().machine
    return ":".join(f"{root}/{folder}/{machine}-linux-gnu" for folder in ("usr/lib", "lib"))


def _run(command: list[str], cwd: str | None = None) -> bool:
    try:
        return subprocess.run(command, cwd=cwd, capture_output=True, timeout=SECONDS, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
