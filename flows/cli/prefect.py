"""What a verb that runs a flow needs around it. Imports no Prefect."""

from __future__ import annotations

import logging

from flows.prefect_defaults import make_prefect_home
from flows.prefect_server import PrefectServer

TRACED = "prefect.flow_runs", "prefect.task_runs", "prefect.engine"


def start_server(*, keeps_time: bool = False) -> PrefectServer:
    """A server that starts while others are imported, where none is given; `wait` for it."""
    server = PrefectServer(make_prefect_home(), keeps_time=keeps_time)
    server.start()
    return server


def keep_traces_off_the_console() -> None:
    """Errors leave a flow as exceptions, and `main` says them once; Prefect's own copy stays in its run logs."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not record.name.startswith(TRACED))
