"""BentoML's adaptive batching without its wait: what lies in the queue goes together, and nobody waits for more.

Its dispatcher holds a batch back for about as long as batches waited of late on average, and such waits are averaged in
turn. Once that average is .3 s, lone calls wait for 145 ms, and ten seconds later still for 120 (bentoml 1.4.40; the
decision of 2026-11-25). Callers merge what waits in their own process already.
"""

from __future__ import annotations

from bentoml._internal.marshal.dispatcher import Optimizer


class _Nothing:
    """An attribute that stays 0, whatever it is set to."""

    def __get__(self, _instance: object, _owner: type) -> float:
        return 0.0

    def __set__(self, _instance: object, _value: float) -> None:
        """Let it go."""


def dispatch_at_once() -> None:
    """Have every dispatcher of this process send what there is as soon as the batch before is done."""
    Optimizer.wait = _Nothing()  # type: ignore[assignment]
