"""How far a flow run is: a progress artifact and a log line for each step, and bars on the terminal of a local run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import cast
from uuid import UUID

from prefect import get_run_logger, runtime
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.orchestration import best_effort
from training.progress import Progress, Watch, unwatched, watching

EVERY_SECONDS = 2.0
"""Between two updates of an artifact. An update is a request to Prefect's server, some 5 ms."""


@contextmanager
def shown_steps() -> Iterator[Watch]:
    """A watch for the current flow run. The terminal is used where no deployment started the run."""
    with ExitStack() as opened:
        terminal = unwatched if runtime.deployment.id else opened.enter_context(watching())
        yield partial(_step, terminal)


@contextmanager
def _step(terminal: Watch, name: str) -> Iterator[Progress]:
    start = last = time.monotonic()
    latest = ""
    artifact: UUID | None = None
    with best_effort():
        # a coroutine only where an event loop runs, and none does in a synchronous flow
        artifact = cast(UUID, create_progress_artifact(0.0, key=artifact_key("progress", name), description=name))

    def update(percent: float, description: str) -> None:
        nonlocal artifact
        shown, artifact = artifact, None  # after an error no update follows: each may wait a minute for the API
        if shown is not None:
            with best_effort():
                update_progress_artifact(shown, percent, description=description)
                artifact = shown

    def show(share: float, word: str) -> None:
        nonlocal last, latest
        latest = word
        on_terminal(share, word)
        if time.monotonic() - last > EVERY_SECONDS:
            last = time.monotonic()
            update(100 * share, f"{name}: {word}")

    with terminal(name) as on_terminal:
        yield show
    update(100.0, f"{name}: {latest}".rstrip(": "))
    get_run_logger().info("%s: %.1f s %s", name, time.monotonic() - start, latest)


def artifact_key(kind: str, name: str) -> str:
    """The key of an artifact. Prefect allows lower-case letters, digits and dashes."""
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'dataset'}"
