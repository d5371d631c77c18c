"""Runs a container of the image for its test: own mounts and processes, a read-only root, the image's user and command.

`unshare` makes it, because the chroot isolation of buildah has no read-only root. The first process is that of the
image, and all other processes end with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType

from tests.image.base import run

START = r"""
set -eu
mount --make-rprivate /
mount --bind "$ROOT" "$ROOT"
cp /etc/hosts /etc/resolv.conf "$ROOT/etc/"
mount -t proc proc "$ROOT/proc"
mount --rbind /dev "$ROOT/dev"
for volume in $VOLUMES; do mount -t tmpfs -o "mode=0755,uid=${OWNER%%:*},gid=${OWNER##*:}" tmpfs "$ROOT$volume"; done
mount -o remount,bind,ro "$ROOT"
cd "$ROOT$FOLDER"
exec chroot --userspec="$OWNER" "$ROOT" /usr/bin/env -i -C "$FOLDER" "$@"
"""
"""Run by /bin/sh in namespaces of its own, with NAME=value of the environment and the command as arguments."""


class Box:
    """A container of an image; a context manager that ends it and removes its mounts."""

    def __init__(self, image: str, log: Path, **environment: str) -> None:
        self._made = run(["buildah", "from", image]).strip()
        self.root = Path(run(["buildah", "mount", self._made]).strip())
        config = json.loads(run(["buildah", "inspect", "--type", "image", image]))["Docker"]["config"]
        self.config, self.log = config, log
        given = dict(each.split("=", 1) for each in config["Env"]) | environment
        self._environment = [f"{name}={value}" for name, value in given.items()]

    def command(self, *command: str) -> list[str]:
        """The command line that runs a command in a container of its own."""
        unshared = ["unshare", "--mount", "--pid", "--fork", "/bin/sh", "-c", START, "box"]
        return [*unshared, *self._environment, *(command or self.config["Entrypoint"])]

    @property
    def variables(self) -> dict[str, str]:
        """The environment of that command line."""
        values = {"ROOT": self.root, "VOLUMES": " ".join(self.config["Volumes"]), "OWNER": self.config["User"]}
        return os.environ | {name: str(value) for name, value in values.items()} | {"FOLDER": self.config["WorkingDir"]}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command and wait for its end."""
        return subprocess.run(self.command(*command), env=self.variables, capture_output=True, text=True, check=False)

    def start(self) -> None:
        """Start the command of the image."""
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                self.command(), env=self.variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )

    @property
    def first(self) -> int:
        """The container's first process, by its number on this host."""
        [child] = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)

    def stop(self, seconds: float) -> int:
        """Send SIGTERM to the first process; its exit code, or -9 after so many seconds."""
        os.kill(self.first, signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End all of its processes with the first; -9.

        `unshare --kill-child` does not end them: the kernel clears the signal when the first process changes its user.
        """
        os.kill(self.first, signal.SIGKILL)
        self.process.wait()
        return -signal.SIGKILL

    def __enter__(self) -> Box:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = getattr(self, "process", None)
        if process is not None and process.poll() is None:
            self.kill()
        run(["buildah", "rm", self._made])
