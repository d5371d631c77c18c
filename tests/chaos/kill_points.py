"""Kills a process at a chosen kill point, to test that a crash at any moment of publishing leaves readable data.

The points are before, halfway and after each command to Redis, around each table of rows that is written to Parquet,
and at each other change of a file. The process is forked from a
warm one, and ends by SIGKILL at the point.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from redis.connection import AbstractConnection

from recsys.generation import received_parts

CHANGES = {f"os.{call}" for call in ("rename", "remove", "mkdir", "rmdir", "truncate", "link", "symlink", "utime")}
CHANGES |= {"shutil.rmtree"}
"""Audit events before a change of a file; `open` for writing is counted too."""


def die_at(point: int, work: Callable[[], None]) -> tuple[int, str]:
    """Run `work` in a child that is killed at a point; the number and the name of the last point that it passed.

    The number is less than `point` if the child has ended before. An error of `work` is raised.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            counter = Counter(point, writing)
            counter.watch()
            work()
            counter.end()
        except BaseException as error:
            os.write(writing, f"error {error!r}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(pid, 0)
    errors = [line for line in lines if line.startswith("error")]
    if errors or (not os.WIFSIGNALED(status) and not lines[-1].startswith("end")):
        raise AssertionError(f"the child failed: {errors or lines[-3:]}")
    points = [line for line in lines if not line.startswith("end")]
    return len(points), points[-1]


class Counter:
    """Counts points, writes their names to a pipe, and kills this process at one of them."""

    def __init__(self, fatal: int, pipe: int) -> None:
        self._fatal = fatal
        self._pipe = pipe
        self._count = 0

    def point(self, what: str) -> None:
        """Count a point."""
        self._count += 1
        os.write(self._pipe, f"{self._count} {what}\n".encode())
        if self._count == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def end(self) -> None:
        """Write that the work has ended."""
        self._fatal = 0
        os.write(self._pipe, b"end\n")

    def watch(self) -> None:
        """Count the points of this process from now on."""
        self._watch_commands()
        self._watch_writes()
        self._watch_rows()
        sys.addaudithook(self._audit)

    def _watch_commands(self) -> None:
        send = AbstractConnection.send_packed_command

        def counted(connection: Any, command: Any, *args: Any, **options: Any) -> None:
            items = [command] if isinstance(command, bytes | str) else list(command)
            whole = b"".join(bytes(item) for item in items)
            name = b" ".join(whole[:120].split(b"\r\n")[2:7:2])[:50].decode("ascii", "replace").replace("\n", " ")
            self.point(f"before {name}")
            send(connection, [whole[: len(whole) // 2]], *args, **options)
            self.point(f"half of {name}")
            send(connection, [whole[len(whole) // 2 :]], *args, **options)
            self.point(f"after {name}")

        AbstractConnection.send_packed_command = counted

    def _watch_writes(self) -> None:
        append, write_text = received_parts.append, Path.write_text

        def counted(path: Path, chunk: bytes) -> None:
            append(path, chunk[: len(chunk) // 2])
            self.point(f"half of {path.name}")
            append(path, chunk[len(chunk) // 2 :])

        def text(path: Path, data: str, *args: Any, **options: Any) -> int:
            write_text(path, data[: len(data) // 2], *args, **options)
            self.point(f"half of {path.name}")
            return write_text(path, data, *args, **options)

        received_parts.append = counted
        Path.write_text = text  # type: ignore[method-assign]

    def _watch_rows(self) -> None:
        write_rows = pq.ParquetWriter.write_table

        def counted(writer: Any, table: Any, *args: Any, **options: Any) -> None:
            self.point("before rows")
            write_rows(writer, table, *args, **options)
            self.point("after rows")

        pq.ParquetWriter.write_table = counted

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in CHANGES:
            self.point(f"{event} {args[0]}")
        elif event == "open" and isinstance(args[0], str) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            self.point(f"open {args[0]}")
