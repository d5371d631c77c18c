"""Lists the TCP ports and unix sockets on which a server's processes listen, so that a test can attack each."""

from __future__ import annotations

from pathlib import Path

from tests.servers.deployment import descendants

LISTEN_TCP = "0A"


def listening(pid: int) -> tuple[set[int], set[str]]:
    """TCP ports and paths of unix sockets of a process and all below it; a name with "@" for one without a path."""
    mine = {each for process in {pid, *descendants(pid)} for each in _inodes(process)}
    ports, paths = set(), set()
    for name in ("tcp", "tcp6"):
        for line in (Path("/proc/net") / name).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN_TCP and fields[9] in mine:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        accepts = int(fields[3], 16) & 0x10000  # __SO_ACCEPTCON
        if accepts and fields[6] in mine:
            paths.add(fields[7] if len(fields) > 7 else "")
    return ports, paths


def _inodes(pid: int) -> set[str]:
    found = set()
    try:
        for descriptor in (Path("/proc") / str(pid) / "fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found
