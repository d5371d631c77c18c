"""Patches of private parts of BentoML: batches start without its delay, and its process manager opens no port.

Each patch states its reason, the version that it fits, a check and a fallback.
"""

from __future__ import annotations

import inspect
import logging
from typing import Any

from bentoml._internal.marshal.dispatcher import CorkDispatcher, Optimizer
from bentoml._internal.utils.circus import Arbiter

logger = logging.getLogger("tandem")

CONTROL, EVENTS = "inproc://circus-control", "inproc://circus-events"
"""ZeroMQ's transport between the threads of one process; it opens no socket of the system."""


class _Zero:
    """An attribute that stays 0."""

    def __get__(self, _instance: object, _owner: type) -> float:
        return 0.0

    def __set__(self, _instance: object, _value: float) -> None:
        """Ignore the value."""


def dispatch_at_once() -> None:
    """Let BentoML's batching (1.4.40) start a batch as soon as the batch before has ended; for each worker.

    Reason: its dispatcher delays a batch by about the mean wait of the last 50 batches, and averages that delay again.
    After a mean of 0.3 s a lone call waits 145 ms, and 10 s later still 120 ms (docs/decisions.md, 2026-11-25). The
    gateway's batcher merges requests already. Fallback: BentoML's own delay, with a warning.
    """
    wait = getattr(Optimizer(1.0), "wait", None)
    if wait != 0 or "wait" not in CorkDispatcher.controller.__code__.co_names:
        logger.warning("This BentoML delays batches in another way than 1.4.40: lone calls may wait longer.")
        return
    Optimizer.wait = _Zero()  # type: ignore[assignment]


def supervise(check_seconds: float) -> None:
    """Let BentoML's process manager (1.4.40 over kantoku 0.18) open no port, and check for dead workers more often.

    For the parent of the workers, before BentoML makes the arbiter. Reasons: BentoML gives circus two TCP ports of
    loopback, where every user of the machine can run a command as the user of the deployment. BentoML checks for dead
    workers every 10 s, with a literal; circus's default is 1 s. Fallback: BentoML's own values, with a warning.
    """
    original = Arbiter.__init__
    private = {"endpoint": CONTROL, "pubsub_endpoint": EVENTS, "check_delay": check_seconds}
    if not private.keys() <= inspect.signature(Arbiter.__base__.__init__).parameters.keys():
        logger.warning("This BentoML starts circus in another way than 1.4.40. %s", _COST)
        return

    def init(arbiter: Arbiter, *args: Any, **options: Any) -> None:
        if options.get("plugins"):  # --reload: the plugin is a process that connects to the ports
            logger.warning("--reload: the process manager takes commands on a port of this machine.")
        elif private.keys() <= options.keys():
            options |= private
        else:
            logger.warning("This BentoML calls circus in another way than 1.4.40. %s", _COST)
        original(arbiter, *args, **options)

    Arbiter.__init__ = init  # type: ignore[method-assign, assignment]


_COST = "The process manager takes commands on a port of this machine, and replaces a dead worker after up to 10 s."
