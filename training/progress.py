"""Progress of a training run: its named steps, and the displays that show how much of each step is done.

A display is a function that receives each `Update`. It shows the update on a terminal (drawn by rich), in TensorBoard
or in a Prefect artifact, or keeps it for the learning curves of the report.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

PLAIN_SECONDS = 15.0
"""Between two lines of one step in a log file: the log stays short, and a long step does not look like a hang."""


@dataclass(frozen=True, slots=True)
class Update:
    """How much of a step is done. share: from 0, at the start, to 1. seconds: since the start.

    figures: such as loss and validation. done: True in the last update of a step that did not fail.
    """

    step: str
    share: float = 0.0
    note: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    done: bool = False

    @property
    def text(self) -> str:
        """The note and the figures."""
        return ", ".join(filter(None, (self.note, *(f"{name} {value:.4f}" for name, value in self.figures.items()))))


Display = Callable[[Update], None]


class StepProgress(Protocol):
    """Shows that a share of a step is done, from 0 to 1, with figures such as the loss."""

    def __call__(self, share: float, note: str = "", **figures: float) -> None:
        """Show the share."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The progress of a run on some displays; without a display nothing is shown."""

    displays: tuple[Display, ...] = ()

    def shown_on(self, *displays: Display) -> RunProgress:
        """The same progress, shown on more displays."""
        return RunProgress((*self.displays, *displays))

    @contextmanager
    def step(self, name: str) -> Iterator[StepProgress]:
        """Show a step until the caller's block ends."""
        start, last = time.monotonic(), Update(name)

        def show(share: float, note: str = "", **figures: float) -> None:
            display(Update(name, share, note, figures))

        def display(update: Update) -> None:
            nonlocal last
            last = replace(update, seconds=time.monotonic() - start)
            for each in self.displays:
                each(last)

        display(last)
        yield show
        display(replace(last, share=1.0, done=True))


def no_step(share: float, note: str = "", **figures: float) -> None:
    """The progress of a step that is shown nowhere."""


NO_PROGRESS = RunProgress()


@contextmanager
def terminal_progress(stream: TextIO | None = None) -> Iterator[RunProgress]:
    """Progress on `stream`, by default stderr: bars on a terminal, lines in a file or a pipe."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield RunProgress((plain_lines(stream),))
        return
    rich = RichProgress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<32}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(file=stream),
    )
    with rich:
        yield RunProgress((bars(rich),))


def bars(rich: RichProgress) -> Display:
    """A display with one bar for each step."""
    tasks: dict[str, TaskID] = {}

    def show(update: Update) -> None:
        if update.step not in tasks:
            tasks[update.step] = rich.add_task(update.step, total=1.0, note="")
        rich.update(tasks[update.step], completed=update.share, note=update.text)

    return show


def plain_lines(stream: TextIO) -> Display:
    """A display that prints a line at the end of each step, and one each PLAIN_SECONDS of a long step."""
    printed = 0.0

    def show(update: Update) -> None:
        nonlocal printed
        if update.done:
            print(f"{update.step}: {update.seconds:.1f} s {update.text}".rstrip(), file=stream, flush=True)
            printed = 0.0
        elif update.seconds > printed + PLAIN_SECONDS:
            printed = update.seconds
            print(f"{update.step}: {update.share:.0%} {update.text}", file=stream, flush=True)

    return show


Curve = list[tuple[float, float]]
"""(share of the step done, loss), in order."""


class LearningCurves:
    """A display that keeps the loss of each step, for the report."""

    def __init__(self) -> None:
        self.curves: dict[str, Curve] = {}

    def __call__(self, update: Update) -> None:
        """Keep the loss, if the update has one."""
        if "loss" in update.figures and not update.done:
            self.curves.setdefault(update.step, []).append((update.share, update.figures["loss"]))
