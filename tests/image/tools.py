"""Checks that the tools of `make image-test` are installed, and names the Debian packages of those that are missing."""

from __future__ import annotations

import os
import shutil
import sys

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
    "unshare": "util-linux",
    "mount": "mount",
    "/usr/lib/podman/netavark": "netavark",
}
"""Commands, and the Debian package of each."""


def missing() -> str | None:
    """The reason why the image can't be tested here, with the fix; None if it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "The image is built and run in namespaces of its own, which takes root on Linux: sudo make image-test"
    packages = sorted({package for command, package in PACKAGES.items() if shutil.which(command) is None})
    if packages:
        return f"Some tools are missing: apt-get update && apt-get install {' '.join(packages)}"
    return None
