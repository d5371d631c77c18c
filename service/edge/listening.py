"""Where BentoML is about to listen, as its command line says it."""

from __future__ import annotations

import click
from bentoml._internal.configuration.containers import BentoMLContainer


def host(otherwise: str) -> str:
    """The host of `bentoml serve`, whose default is every address there is; otherwise: where no such command runs."""
    command = click.get_current_context(silent=True)
    if command is None or "host" not in command.params:
        return otherwise
    return str(command.params["host"] or BentoMLContainer.http.host.get())
