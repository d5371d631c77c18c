"""The embedded Valkey, with real processes: no data is lost, and no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from recsys.errors import SettingsError
from recsys.store import embedded_valkey as module
from recsys.store.embedded_valkey import EmbeddedValkey
from tests.servers.deployment import wait_until_gone

OTHER = """
import sys, time
from pathlib import Path
from recsys.store.embedded_valkey import EmbeddedValkey
store = EmbeddedValkey(Path(sys.argv[1]))
print(store.ensure(), flush=True)
time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """An embedded store, not started; its path has a space in it."""
    store = EmbeddedValkey(tmp_path / "a store")
    yield store
    store.stop()


@pytest.fixture
def other() -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Start processes that run an embedded store of a folder."""
    processes: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", OTHER, str(folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout
        assert process.stdout.readline().strip() == EmbeddedValkey(folder).url
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def client(store: EmbeddedValkey) -> redis.Redis:
    """A plain client of its server."""
    return redis.Redis.from_url(store.url)


def server_pid(store: EmbeddedValkey) -> int:
    """The pid of the server that answers on the socket."""
    with client(store) as connection:
        return int(connection.info("server")["process_id"])


class TestLife:
    def test_private_and_without_a_port(self, store: EmbeddedValkey) -> None:
        """Only this user can reach the server: a socket of mode 700, no port, files of mode 600."""
        store.ensure()
        with client(store) as connection:
            assert connection.config_get("port")["port"] == "0"
            connection.set("k", "v")
        assert store.socket.stat().st_mode & 0o777 == 0o700
        kept = [path for path in (store.folder / "appendonlydir").iterdir() if path.stat().st_mode & 0o077]
        assert kept == []

    @pytest.mark.parametrize("lost", ["stopped", "killed", "socket deleted"])
    def test_data_survives_a_restart(self, store: EmbeddedValkey, lost: str) -> None:
        """Another server with the same data replaces one that was stopped, killed, or lost its socket file."""
        store.ensure()
        with client(store) as connection:
            connection.set("k", "v")
        pid = server_pid(store)
        if lost == "stopped":
            store.stop()
            assert not store.socket.exists()
        elif lost == "killed":
            os.kill(pid, signal.SIGKILL)
            assert not wait_until_gone({pid}, 5)
            assert store.socket.exists()
        else:
            store.socket.unlink()
        assert store.restart_if_gone()
        assert not wait_until_gone({pid}, 5)
        assert server_pid(store) != pid
        with client(store) as connection:
            assert connection.get("k") == b"v"

    def test_dies_with_its_parent(self, store: EmbeddedValkey, other: Callable[[Path], subprocess.Popen[str]]) -> None:
        """The server ends with the process that started it, also if that process is killed."""
        owner = other(store.folder)
        pid = server_pid(store)
        owner.kill()
        owner.wait()
        assert not wait_until_gone({pid}, 5)


class TestSharing:
    def test_an_attached_process_starts_the_server_again(
        self, store: EmbeddedValkey, other: Callable[[Path], subprocess.Popen[str]]
    ) -> None:
        """A process that outlives the owner of the server starts it again, with the data."""
        owner = other(store.folder)
        store.ensure()
        with client(store) as connection:
            connection.set("k", "v")
        owner.kill()
        owner.wait()
        store.restart_if_gone()
        time.sleep(0.2)  # the old server may have answered the first check
        store.restart_if_gone()
        with client(store) as connection:
            assert connection.get("k") == b"v"


class TestPlaces:
    def test_long_path(self, tmp_path: Path) -> None:
        """The socket of a path that is too long is in a private temporary folder; the data stays in the folder."""
        store = EmbeddedValkey(tmp_path / ("d" * 120))
        try:
            store.ensure()
            assert server_pid(store)
            assert store.socket.parent.stat().st_mode & 0o777 == 0o700
            assert (store.folder / "appendonlydir").is_dir()
            assert EmbeddedValkey(store.folder).url == store.url
        finally:
            store.stop()
            store.socket.parent.rmdir()

    def test_a_socket_folder_of_others_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A folder that others can enter and a link to a folder are refused."""
        monkeypatch.setattr(module.tempfile, "gettempdir", lambda: "/tmp")
        folder = tmp_path / ("e" * 120)
        place = EmbeddedValkey(folder).socket.parent
        try:
            place.chmod(0o755)
            with pytest.raises(SettingsError, match="open to others"):
                EmbeddedValkey(folder)
            place.rmdir()
            place.symlink_to(tmp_path)
            with pytest.raises(SettingsError, match="open to others"):
                EmbeddedValkey(folder)
        finally:
            place.unlink()

    def test_server_that_gives_up(self, store: EmbeddedValkey) -> None:
        """The error for a server that ends at its start has the last line of its log."""
        store.folder.mkdir()
        (store.folder / "appendonlydir").write_text("in the way")
        with pytest.raises(SettingsError, match=r"did not start: .*append"):
            store.ensure()
