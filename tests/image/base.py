"""Builds a base image for the image test without a registry: this machine's Debian and the tests' Python."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

NAME = "localhost/tandem-base"

LIBRARIES = "ca-certificates,libssl3t64,libffi8,zlib1g,libbz2-1.0,liblzma5,libsqlite3-0,libuuid1"
"""Packages that a Python from elsewhere needs, and the certificates of registries."""

LEFT_OUT = ("test", "site-packages", "idlelib", "tkinter", "__pycache__")


def build(work: Path) -> None:
    """Put the base into buildah's store."""
    root = work / "base.tar"
    wanted, hooks = _python(work)
    # The certificates include that of this machine's proxy, if it has one.
    hooks.append("copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs")
    options = [f"--customize-hook={hook}" for hook in hooks]
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    run(
        [
            "mmdebstrap",
            "--quiet",
            "--variant=minbase",
            f"--include={wanted}",
            *options,
            release["VERSION_CODENAME"],
            root,
        ]
    )
    box = run(["buildah", "from", "scratch"]).strip()
    run(["buildah", "add", box, root, "/"])
    run(["buildah", "config", "--env", "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", box])
    run(["buildah", "commit", "--quiet", box, NAME])
    run(["buildah", "rm", box])
    root.unlink()


def run(command: list[str | Path]) -> str:
    """Run a command and return its output; SystemExit with the end of its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"image-test: {' '.join(map(str, command[:3]))} ... failed:\n{done.stderr[-2000:]}")
    return done.stdout


def _python(work: Path) -> tuple[str, list[str]]:
    """Packages, and hooks that copy this Python unless Debian installed it."""
    prefix = Path(sys.base_prefix)
    if prefix == Path("/usr"):
        return f"{LIBRARIES},python3,python3-venv", []
    library, binary = f"python3.{sys.version_info.minor}", f"python3.{sys.version_info.minor}"
    path = work / "python.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(prefix / "bin" / binary, f"usr/local/bin/{binary}")
        for name in ("python3", "python"):
            link = tarfile.TarInfo(f"usr/local/bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, binary
            archive.addfile(link)
        for shared in (prefix / "lib").glob("libpython3*.so.*"):
            archive.add(shared, f"usr/local/lib/{shared.name}")
        archive.add(prefix / "lib" / library, f"usr/local/lib/{library}", filter=_without)
    return LIBRARIES, [f"tar-in {path} /", 'chroot "$1" ldconfig']


def _without(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Files of root, without those that no run needs."""
    parts = Path(member.name).parts[4:]
    if parts and (parts[0] in LEFT_OUT or parts[-1] in LEFT_OUT[-1:] or parts[0].startswith("config-")):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member
