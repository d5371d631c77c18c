"""What a verb that runs a flow needs around it. Imports no Prefect."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.prefect_defaults import make_prefect_home
from flows.prefect_server import PrefectServer
from recsys.stopped import importing

TRACED = "prefect.flow_runs", "prefect.task_runs", "prefect.engine"


@contextmanager
def started(*let_go: Callable[[], None], keeps_time: bool = False) -> Iterator[None]:
    """Import Prefect inside: a server starts meanwhile, where none is given, and answers when this is over.

    let_go: what Ctrl-C has to end meanwhile, besides.
    """
    server = PrefectServer(make_prefect_home(), keeps_time=keeps_time)
    server.start()
    with importing(*let_go, server.stop):
        yield
    keep_traces_off_the_console()
    server.wait()


def keep_traces_off_the_console() -> None:
    """Errors leave a flow as exceptions, and `main` says them once; Prefect's own copy stays in its run logs."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: not record.name.startswith(TRACED))
