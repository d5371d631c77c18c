"""Measures a surface with precomputed lists at two, three and five times the rate that the deployment holds.

`python -m loadtests.bench.lists_under_overload` takes four minutes. All requests ask for the mode realtime, of users
who have a list. The command finds the highest rate that holds, sends the multiples, and counts the answers within the
deadline of slo.toml. The exit code is 1 if it is below 95 % at five times.
"""

from __future__ import annotations

import argparse
import sys

from loadtests.bench.command_result import error_sentences
from loadtests.bench.costed_deployment import Deployment, deployed
from loadtests.options import number, several
from loadtests.slo import BROKEN, ROOT, Promises
from loadtests.tally import ANSWERED, Outcome

RATES = tuple(100.0 * 1.25**step for step in range(12))
"""Slates a second, from a rate that every machine holds."""

TIMES = (2, 3, 5)

LEAST_ANSWERED = 0.95

BODY = '{"user_id": "{id}", "k": 10, "mode": "realtime"}'


def main() -> int:
    """Run the command line; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench.lists_under_overload", description=__doc__)
    parser.add_argument("--topology", choices=["split", "inline"], default="split")
    parser.add_argument(
        "--rates", type=several(number(float, 1, 1e4)), default=RATES, help="to find the one that holds"
    )
    parser.add_argument("--seconds", type=number(float, 1, 600), default=6, help="of a load")
    options, promise = parser.parse_args(), Promises.read().recommend
    with (
        error_sentences(),
        deployed(ROOT / "data" / "movietweetings", options.topology, options.seconds, False) as here,
    ):
        held = 0.0
        for rate in options.rates:
            if not here.load("realtime", rate, 0, "--body", BODY).held(promise.p99_ms):
                break
            held = rate
        if not held:
            print("The deployment holds none of the rates.")
            return BROKEN
        in_time = [share_in_time(here, times, times * held, promise.deadline_ms) for times in TIMES]
    return 0 if in_time[-1] >= LEAST_ANSWERED else BROKEN


def share_in_time(here: Deployment, times: int, rate: float, deadline_ms: float) -> float:
    """The share of the requests at a rate that got a slate within the deadline."""
    tally = here.load("realtime", rate, times, "--body", BODY).tally
    in_time = tally.of(*ANSWERED).within(deadline_ms) / max(tally.count(), 1)
    outcomes = ", ".join(f"{outcome} {tally.count(outcome):,}" for outcome in Outcome)
    late = "; the generator was late" if tally.generator_late else ""
    print(f"At {times} times the rate {in_time:.1%} got a slate within {deadline_ms:g} ms: {outcomes}{late}")
    return in_time


if __name__ == "__main__":
    sys.exit(main())
