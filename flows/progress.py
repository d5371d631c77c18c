"""Show the progress of a flow run: Prefect artifacts, a log line for each step, and the terminal of a local run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect import get_run_logger, runtime
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.orchestration import best_effort
from training.progress import Display, RunProgress, Update, terminal_progress

ARTIFACT_SECONDS = 2.0
"""Between two updates of an artifact. An update is a request to Prefect's server, some 5 ms."""


@contextmanager
def run_progress() -> Iterator[RunProgress]:
    """The progress of the current flow run. The terminal shows it where no deployment started the run."""
    if runtime.deployment.id:
        yield RunProgress((progress_artifacts(),))
        return
    with terminal_progress() as progress:
        yield progress.shown_on(progress_artifacts())


def progress_artifacts() -> Display:
    """A display with a progress artifact and a log line for each step."""
    step, updated = "", 0.0
    artifact: UUID | None = None

    def show(update: Update) -> None:
        nonlocal step, artifact, updated
        if update.step != step:
            step, artifact, updated = update.step, None, 0.0
            with best_effort():
                # a coroutine only where an event loop runs, and none does in a synchronous flow
                key = artifact_key("progress", update.step)
                artifact = cast(UUID, create_progress_artifact(0.0, key=key, description=update.step))
        if artifact is not None and (update.done or update.seconds > updated + ARTIFACT_SECONDS):
            updated = update.seconds
            shown, artifact = artifact, None  # after an error no update follows: each may wait a minute for the API
            with best_effort():
                description = f"{update.step}: {update.text}".rstrip(": ")
                update_progress_artifact(shown, 100 * update.share, description=description)
                artifact = shown
        if update.done:
            get_run_logger().info("%s: %.1f s %s", step, update.seconds, update.text)
            step = ""

    return show


def artifact_key(kind: str, name: str) -> str:
    """The key of an artifact. Prefect allows lower-case letters, digits and dashes."""
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-') or 'dataset'}"
