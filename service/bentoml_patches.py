"""The patches of private parts of BentoML, each with its reason, version, check and fallback."""

from __future__ import annotations

import logging

from bentoml._internal.marshal.dispatcher import CorkDispatcher, Optimizer

logger = logging.getLogger("tandem")


class _Zero:
    """An attribute that stays 0."""

    def __get__(self, _instance: object, _owner: type) -> float:
        return 0.0

    def __set__(self, _instance: object, _value: float) -> None:
        """Ignore the value."""


def dispatch_at_once() -> None:
    """Let BentoML's batching (1.4.40) start a batch as soon as the batch before has ended.

    Reason: its dispatcher delays a batch by about the mean wait of the last 50 batches, and averages that delay again.
    After a mean of 0.3 s a lone call waits 145 ms, and 10 s later still 120 ms (docs/decisions.md, 2026-11-25). The
    gateway's batcher merges requests already. Fallback: BentoML's own delay, with a warning.
    """
    wait = getattr(Optimizer(1.0), "wait", None)
    if wait != 0 or "wait" not in CorkDispatcher.controller.__code__.co_names:
        logger.warning("This BentoML delays batches in another way than 1.4.40: lone calls may wait longer.")
        return
    Optimizer.wait = _Zero()  # type: ignore[assignment]
