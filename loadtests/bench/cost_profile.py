"""Measures what a slate of each mode costs on this machine, for `python -m training advise`.

`python -m loadtests.bench.cost_profile` (`make cost-profile`) takes about five minutes. It starts a deployment over
untrained models of the sample, or of --data: their slates cost as much as those of trained ones. The modes batch,
hybrid and realtime each get loads at three rates. CPU is that of all processes of the deployment, without the store.
The CPU of a list is that of `flows batch`, less that of an empty `flows refresh`, for each list.

`--check` measures rates that the profile has not seen and compares them with its predictions. `--promises` measures
every verb and mode at the rate of slo.toml and compares its p99 with slo.toml. The exit code is 1 if a limit did not
hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadtests.bench.command_result import error_sentences
from loadtests.bench.costed_deployment import MODES, Deployment, K, deployed, predicted_memory
from loadtests.bench.figures import machine
from loadtests.cost_check import checked, predicted_bytes, predicted_cpu, write_profile
from loadtests.options import number, several
from loadtests.slo import BROKEN, ROOT, Line, Promises, judged
from loadtests.tally import Outcome
from recsys.environment import Environment
from recsys.lists.list_maker import LIST_LENGTH
from training.advisor.command import PROFILE
from training.advisor.cost import CostProfile

SEEN, UNSEEN = (20.0, 100.0, 300.0), (50.0, 200.0)
"""Rates of the profile and of its check, in slates a second."""

RANKED = 100
"""Items of a request to /rank, as of a page of search results."""


def profile(deployment: Deployment, options: argparse.Namespace) -> CostProfile:
    """Measure the profile."""
    on = machine()
    points = deployment.points(options.rates or SEEN)
    return CostProfile(
        machine=f"{on['cpus']} cores ({on['model']})",
        source=f"python -m loadtests.bench.cost_profile, {options.topology}, lists of {LIST_LENGTH} items, "
        f"{datetime.now(UTC):%Y-%m-%d}",
        points=points,
        list_cpu_ms=deployment.list_cpu_ms,
        flow_cpu_ms=deployment.flow_cpu_ms,
        memory=predicted_memory(deployment.place),
    )


def promises(deployment: Deployment) -> list[Line]:
    """Measure every verb and mode of slo.toml at its rate."""
    stated, items = Promises.read(), deployment.place.generation.tables().ids
    names = [items[row] for row in range(len(items))]
    mode_lines, verb_lines, user = [], [], {"user_id": "{id}"}
    bodies = {
        "similar": {"item_id": "{id}", "k": K},
        "explain": user | {"item_id": names[0], "k": K},
        "rank": user | {"items": names[:RANKED], "k": K},
        "events": {"events": [user | {"item_id": names[0]}]},
    }
    for mode, limit in stated.modes.items():
        body = json.dumps(user | {"k": K, "mode": mode})
        found = deployment.load(mode, stated.recommend.rate, 0, "--body", body)
        deployment.lost += [mode] * found.tally.generator_late
        mode_lines.append(Line(f"mode {mode}: p99 ms", limit, found.percentile(0.99)))
    with tempfile.NamedTemporaryFile("w", suffix=".ids") as ids:
        ids.write("\n".join(names))
        ids.flush()
        for verb, promise in stated.verbs.items():
            options = ["--path", f"/{verb}", "--body", json.dumps(bodies[verb])]
            options += ["--user-file", ids.name] if verb == "similar" else []
            found = deployment.load(verb, stated.recommend.rate, 0, *options)
            deployment.lost += [verb] * found.tally.generator_late
            failed = found.tally.share(Outcome.FAILED, Outcome.REJECTED)
            verb_lines.append(Line(f"{verb}: p99 ms", promise.p99_ms, found.percentile(0.99)))
            verb_lines.append(Line(f"{verb}: error share", promise.error_share, failed))
    return [*mode_lines, *verb_lines]


def main() -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args()
    path = options.profile or Environment.read().home / PROFILE
    with error_sentences():
        earlier = CostProfile.read(path) if options.check else None
        flows = not (options.check or options.promises)
        with deployed(options.data, options.topology, options.seconds, flows) as deployment:
            if options.promises:
                held = print_promises(promises(deployment)) and not deployment.lost
            elif earlier:
                held = print_check(earlier, deployment, options.rates or UNSEEN)
            else:
                held = write(deployment, options, path)
    if deployment.lost:
        print(f"Not measured: {', '.join(deployment.lost)}. Other work was on the cores, or the rate is too high.")
    return 0 if held else BROKEN


def write(deployment: Deployment, options: argparse.Namespace, path: Path) -> bool:
    """Measure and write the profile; False if too little could be measured."""
    measured = profile(deployment, options)
    if any(len([point for point in measured.points if point.mode == mode]) < 2 for mode in MODES):
        print("No profile was written: each mode needs two rates.")
        return False
    write_profile(measured, path)
    print(f"\n{measured.list_cpu_ms:.2f} CPU ms a list, {measured.flow_cpu_ms:,.0f} CPU ms an empty refresh.")
    print(f"The profile: {path}. `python -m training advise` reads it.")
    return True


def print_check(earlier: CostProfile, deployment: Deployment, rates: Sequence[float]) -> bool:
    """Compare the profile with new loads; whether all were measured and every prediction was held."""
    points = deployment.points(rates)
    predictions = predicted_cpu(earlier, points) + predicted_bytes(earlier, deployment.memory)
    print(f"\n{checked(predictions).text()}")
    return not deployment.lost and all(each.held for each in predictions)


def print_promises(lines: Sequence[Line]) -> bool:
    """Compare every verb and mode with slo.toml; whether every line held."""
    print(f"\n{judged('Each verb and mode, against slo.toml', lines).text()}")
    return all(line.held for line in lines)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    made = argparse.ArgumentParser(prog="python -m loadtests.bench.cost_profile", description=__doc__)
    made.add_argument(
        "--data", type=Path, default=ROOT / "data" / "movietweetings", help="a dataset; default: the sample"
    )
    made.add_argument("--topology", choices=["split", "inline"], default="split")
    rates = several(number(float, 1, 1e4))
    made.add_argument("--rates", type=rates, help=f"slates a second; default: {SEEN}, with --check {UNSEEN}")
    made.add_argument("--seconds", type=number(float, 1, 600), default=12, help="of a load")
    made.add_argument("--profile", type=Path, metavar="FILE", help="default: .tandem/cost_profile.json")
    instead = made.add_mutually_exclusive_group()
    instead.add_argument("--check", action="store_true", help="compare the profile with new measurements, instead")
    instead.add_argument("--promises", action="store_true", help="compare every verb and mode with slo.toml, instead")
    return made


if __name__ == "__main__":
    sys.exit(main())
