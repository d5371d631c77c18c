"""The status with which a gRPC call ends, for metrics and traces, also when the client has cancelled it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
from grpc.aio import ServicerContext

EARLY, EARLY_SECONDS = 0.1, 0.05
"""A client's clock starts before ours: a call that is cancelled in the last tenth of its deadline, 50 ms at most,
counts as DEADLINE_EXCEEDED."""


@contextmanager
def reported(context: ServicerContext, report: Callable[[grpc.StatusCode], object]) -> Iterator[None]:
    """Report the status that a call ends with."""
    given = context.time_remaining()
    try:
        yield
    except asyncio.CancelledError:
        report(cancelled(given, context.time_remaining()))
        raise
    except BaseException:
        report(context.code() or grpc.StatusCode.UNKNOWN)
        raise
    report(grpc.StatusCode.OK)


def cancelled(given: float | None, left: float | None) -> grpc.StatusCode:
    """Why a call was cancelled. given: seconds that its client waits; left: seconds of these that are left."""
    if given is None or left is None:
        return grpc.StatusCode.CANCELLED
    early = left < min(EARLY_SECONDS, EARLY * given)
    return grpc.StatusCode.DEADLINE_EXCEEDED if early else grpc.StatusCode.CANCELLED
