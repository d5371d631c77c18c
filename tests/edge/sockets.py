"""Lists the TCP addresses and unix sockets on which a server's processes listen, so that a test can attack each."""

from __future__ import annotations

import psutil


def listening(pid: int) -> tuple[set[tuple[str, int]], set[str]]:
    """The addresses of TCP sockets, and the paths of unix sockets, of a process and all below it."""
    root = psutil.Process(pid)
    sockets = [each for process in (root, *root.children(recursive=True)) for each in process.net_connections("all")]
    addresses = {(each.laddr.ip, each.laddr.port) for each in sockets if each.status == psutil.CONN_LISTEN}
    return addresses, {each.laddr for each in sockets if each.laddr and isinstance(each.laddr, str)}
