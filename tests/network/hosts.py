"""Hosts of our own: network namespaces behind one bridge, which can be cut off from each other and from nothing else.

The bridge stands in a namespace too, so that nothing shows in the machine's own network. Names carry the pid of who
made them: what a killed one left behind the next takes away.
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
    """What is not here that this needs; None where all is."""
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    if not shutil.which("ip"):
        return "there is no `ip`: install iproute2"
    try:
        with Hosts(["probe"]):
            return None
    except OSError as error:
        return f"this machine lets nobody make network namespaces ({error})"


class Hosts:
    """So many hosts by name; a context manager that ends what runs on them, and takes them away."""

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
        """Of a host, for the other ones."""
        return self._address[name]

    def start(self, name: str, command: Sequence[str], log: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Run something on a host: one thing at a time, of which `stop` ends the last first."""
        with log.open("ab") as output:
            self._running[name] = subprocess.Popen(
                ["ip", "netns", "exec", self._names[name], *command],
                env={**os.environ, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is ours alone: they are ended in order
                preexec_fn=parent_death.preexec(),
            )
        return self._running[name]

    def stop(self, name: str) -> None:
        """End what runs on a host."""
        process = self._running.pop(name)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)

    def runs(self, name: str) -> bool:
        """Whether something was started on a host that nobody stopped."""
        return name in self._running

    def pid(self, name: str) -> int:
        """Of what runs on a host."""
        return self._running[name].pid

    def enter(self, name: str) -> None:
        """Let the calling thread be on a host, for the rest of its life; other threads stay where they are."""
        with Path(f"/run/netns/{self._names[name]}").open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def cut(self, name: str) -> None:
        """Lose every packet to and from a host; nobody is told, and no link goes down."""
        self._in_switch("link", "set", f"to-{name}", "nomaster")

    def unplug(self, name: str) -> None:
        """Pull the cable out: the host sees its link go down, the others see nothing."""
        self._in_switch("link", "set", f"to-{name}", "down")

    def heal(self, name: str) -> None:
        """Let packets through again."""
        self._in_switch("link", "set", f"to-{name}", "master", "bridge0", "up")

    def delay(self, name: str, milliseconds: float) -> bool:
        """Let packets to a host take so much longer; False where this kernel has no means."""
        how = ["replace", "dev", f"to-{name}", "root", "netem", "delay", f"{milliseconds}ms"]
        done = subprocess.run(
            ["ip", "netns", "exec", self._switch, "tc", "qdisc", *how], capture_output=True, check=False
        )
        return done.returncode == 0

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
    """Take away what somebody who was killed left."""
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
