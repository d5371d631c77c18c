"""Outcome of a fault test: counts failed, mixed and degraded answers, compares them with limits, and prints a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.judged_load.expected_slates import ExpectedSlates
from tests.judged_load.http_load import Answer
from training.report.page import Table


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a fault. recovery_s: seconds to the first whole answer. degraded, failed: whether requests may be."""

    recovery_s: float | None = None
    degraded: bool = True
    failed: bool = False


NO_EFFECT = Limits(degraded=False)
"""Every answer is a whole slate."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one fault.

    failed: requests without a slate. mixed: slates that are not those of the generation that they name. degraded:
    slates without a stage. recovery_s: from the end of the fault to the first whole answer. wrong: broken limits.
    """

    fault: str
    requests: int
    failed: int
    mixed: int
    degraded: int
    recovery_s: float | None
    note: str = ""
    wrong: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all limits were held."""
        return not self.wrong

    def to_json(self) -> dict[str, Any]:
        """An entry of `loadtests/results/chaos.json`."""
        return asdict(self) | {"wrong": list(self.wrong), "pass": self.passed}


def judge(
    fault: str,
    answers: Sequence[Answer],
    generations: Mapping[str, ExpectedSlates],
    limits: Limits,
    *,
    recovery: float | None = None,
    note: str = "",
    wrong: Sequence[str] = (),
) -> Outcome:
    """Count the answers and compare them with the limits; no fault may mix two generations in an answer.

    wrong: sentences on what else went wrong.
    """
    failed = [answer for answer in answers if answer.failed]
    mixed = [answer for answer in answers if not answer.failed and not _of_its_generation(answer, generations)]
    degraded = [answer for answer in answers if answer.degraded]
    faults = list(wrong)
    if not answers:
        faults.append("no request was sent")
    if failed and not limits.failed:
        first = failed[0]
        faults.append(f"{len(failed)} requests failed, the first with {first.status} {first.error}{first.body}")
    if mixed:
        faults.append(f"{len(mixed)} answers are not of the generation they name, the first: {mixed[0].body}")
    if degraded and not limits.degraded:
        faults.append(f"{len(degraded)} answers were degraded, the first without {degraded[0].degraded}")
    if limits.recovery_s is not None and (recovery is None or recovery > limits.recovery_s):
        faults.append(f"recovery took {recovery} s, the limit is {limits.recovery_s} s")
    recovered = None if recovery is None else round(recovery, 2)
    return Outcome(fault, len(answers), len(failed), len(mixed), len(degraded), recovered, note, tuple(faults))


NOT_SENT = ("ClientConnector", "ConnectionTimeout", "UNAVAILABLE: failed to connect", "CANCELLED: CANCELLED")
"""Errors of requests that no worker accepted. gRPC cancels a call that arrives after its GOAWAY without reading it."""

RESET = ("ClientOSError: [Errno 104]", "ClientOSError: [Errno None] Can not write", "ServerDisconnectedError")
"""Errors of a connection that the kernel accepted and no worker did."""


def accepted(answers: Sequence[Answer], closed: float) -> list[Answer]:
    """The answers to requests that a service accepted before it stopped: the service must not lose these requests.

    closed: unix seconds at which the workers close their sockets. For a second more the process manager holds the
    listening socket: the kernel accepts a connection and resets it.
    """
    sent = [each for each in answers if not each.error.startswith(NOT_SENT)]
    return [each for each in sent if each.due < closed or not each.error.startswith(RESET)]


def missing_stages(answers: Iterable[Answer], allowed: str) -> list[str]:
    """A sentence where answers lack another stage than the allowed one."""
    more = {name for each in answers for name in each.degraded} - {allowed}
    return [f"answers lack {', '.join(sorted(more))} too"] if more else []


def printed(outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
    """Print each outcome as soon as it is there."""
    for outcome in outcomes:
        lines = [line for line in (outcome.note, *outcome.wrong) if line]
        print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.fault}", *lines, sep="\n     ", flush=True)
        yield outcome


def print_outcomes(title: str, outcomes: Iterable[Outcome]) -> None:
    """Print the table of all outcomes."""
    header = ("fault", "requests", "failed", "mixed", "degraded", "whole again, s", "pass")
    rows = []
    for each in outcomes:
        counts = (each.requests, each.failed, each.mixed, each.degraded)
        recovery = "-" if each.recovery_s is None else each.recovery_s
        rows.append([each.fault, *map(str, (*counts, recovery)), "yes" if each.passed else "NO"])
    print("\n" + Table(title, header, rows).text())


def _of_its_generation(answer: Answer, generations: Mapping[str, ExpectedSlates]) -> bool:
    """Whether a slate is the one of the generation that it names; without a model there are no scores to compare."""
    body = answer.body or {}
    if body["generation"] not in generations:
        return False
    if {"retrieval", "ranking", "overload"} & set(body["degraded"]):
        return True
    return generations[body["generation"]].agrees(body, answer.due + answer.seconds)
