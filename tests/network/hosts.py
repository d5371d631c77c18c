"""Test hosts on one machine, made of Linux network namespaces behind one bridge, whose links can be broken.

The bridge is in a namespace of its own, so that the machine's own network does not change. The names of namespaces
contain the pid of their process: the next run removes those of a process that was killed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from recsys.process import parent_death

PREFIX = "tandem-net-"
NETWORK = "10.77.0"
_CLONE_NEWNET = 0x40000000


def missing() -> str | None:
    """The reason why no hosts can be made; None if they can."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if not shutil.which("ip"):
        return "there is no `ip`: install iproute2"
    try:
        with Hosts(["probe"]):
            return None
    except OSError as error:
        return f"network namespaces can't be made here ({error})"


class Hosts:
    """Hosts by name; a context manager that ends their processes and removes them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {name: f"{PREFIX}{os.getpid()}-{name}" for name in names}
        self._switch = f"{PREFIX}{os.getpid()}-switch"
        self._address = {name: f"{NETWORK}.{number}" for number, name in enumerate(names, 10)}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Hosts:
        _sweep()
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            with suppress(subprocess.TimeoutExpired):
                self.stop(name)
        for namespace in (*self._names.values(), self._switch):
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)

    def address(self, name: str) -> str:
        """The IP address of a host."""
        return self._address[name]

    def start(self, name: str, command: Sequence[str], log: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Run a command on a host, one at a time."""
        with log.open("ab") as output:
            self._running[name] = subprocess.Popen(
                ["ip", "netns", "exec", self._names[name], *command],
                env={**os.environ, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process alone, which ends the hosts in order
                preexec_fn=parent_death.preexec(),
            )
        return self._running[name]

    def stop(self, name: str) -> None:
        """End the command of a host."""
        process = self._running.pop(name)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def runs(self, name: str) -> bool:
        """Whether a command was started on a host and not stopped."""
        return name in self._running

    def enter(self, name: str) -> None:
        """Move the calling thread to a host for the rest of its life; other threads are not moved."""
        with Path(f"/run/netns/{self._names[name]}").open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def cut(self, name: str) -> None:
        """Lose every packet to and from a host. No link goes down."""
        self._in_switch("link", "set", f"to-{name}", "nomaster")

    def unplug(self, name: str) -> None:
        """Take the link of a host down. The other hosts see no change of their links."""
        self._in_switch("link", "set", f"to-{name}", "down")

    def heal(self, name: str) -> None:
        """Connect a host again."""
        self._in_switch("link", "set", f"to-{name}", "master", "bridge0", "up")

    def _make(self) -> None:
        for namespace in (self._switch, *self._names.values()):
            _ip("netns", "add", namespace)
        self._in_switch("link", "add", "bridge0", "type", "bridge", "forward_delay", "0")
        self._in_switch("link", "set", "bridge0", "up")
        for name, namespace in self._names.items():
            veth = ["link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", namespace]
            self._in_switch(*veth)
            _ip("-n", namespace, "addr", "add", f"{self._address[name]}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", namespace, "link", "set", device, "up")
            self.heal(name)

    def _in_switch(self, *command: str) -> None:
        _ip("-n", self._switch, *command)


def _sweep() -> None:
    """Remove the namespaces of processes that were killed."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        name = line.split()[0]
        if not name.startswith(PREFIX):
            continue
        pid = name.removeprefix(PREFIX).split("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _ip(*command: str) -> None:
    result = subprocess.run(["ip", *command], capture_output=True, text=True, check=False)
    if result.returncode:
        raise OSError(f"ip {' '.join(command)}: {result.stderr.strip()}")
