"""How long work tells how far it is: bars on a terminal, plain lines elsewhere.

Knows rich; knows nothing of what is being done.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

Progress = Callable[[float, str], None]
"""Told the share done, 0 to 1, and a word on how it goes."""

Watch = Callable[[str], AbstractContextManager[Progress]]
"""Given the name of a step, a context that lasts as long as the step and yields whom to tell."""

PLAIN_EVERY = 15.0
"""Seconds between two plain lines of one step: a log stays short and a minute of silence does not look like a hang."""


def no_progress(share: float, word: str) -> None:
    """Tell nobody."""


@contextmanager
def unwatched(step: str) -> Iterator[Progress]:  # noqa: ARG001 the shape of a Watch
    """Tell nobody."""
    yield no_progress


@contextmanager
def watching(stream: TextIO | None = None) -> Iterator[Watch]:
    """A watch on `stream` (stderr): bars if it is a terminal, otherwise a line at the end of each step."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield PlainLines(stream).step
        return
    bars = RichProgress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<32}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[word]}"),
        console=Console(file=stream),
    )
    with bars:
        yield Bars(bars).step


class Bars:
    """One rich bar a step."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars

    @contextmanager
    def step(self, name: str) -> Iterator[Progress]:
        """A bar named `name`."""
        bar = self._bars.add_task(name, total=1.0, word="")
        yield lambda share, word: self._bars.update(bar, completed=share, word=word)
        self._bars.update(bar, completed=1.0)


class PlainLines:
    """A line for each step at its end, and one now and then within a long step."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @contextmanager
    def step(self, name: str) -> Iterator[Progress]:
        """Lines that begin with `name`."""
        start = time.monotonic()
        last, latest = start, ""

        def tell(share: float, word: str) -> None:
            nonlocal last, latest
            latest = word
            if time.monotonic() - last > PLAIN_EVERY:
                last = time.monotonic()
                self._line(f"{name}: {share:.0%} {word}")

        yield tell
        self._line(f"{name}: {time.monotonic() - start:.1f} s {latest}")

    def _line(self, text: str) -> None:
        print(text.rstrip(), file=self._stream, flush=True)
