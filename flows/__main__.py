"""`python -m flows VERB`: what to do, and an exit code that tells how it went.

0 done, 1 it could not be done (one sentence says why), 2 the command line is wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable

from recsys.errors import TandemError
from recsys.process.interruption import interruptible_imports
from recsys.process.missing_packages import required_packages

with required_packages(), interruptible_imports():
    from flows.cli import follow_commands, operate_commands, run_command
    from flows.cli.output import report
    from flows.cli.own_session import run_apart

TERMINATED = 128 + signal.SIGTERM
"""The exit code shells give to a process ended by SIGTERM; leaving by it lets the store and Prefect end first."""


@required_packages()
def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    if arguments is None and options.apart:
        return run_apart(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    verb: Callable[[argparse.Namespace], None] = options.verb
    try:
        verb(options)
    except TandemError as error:
        report(error, as_json=options.json)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m flows", description="Train, publish and look at what is live.")
    parser.set_defaults(apart=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for verb in (*run_command.add_verbs(verbs), *operate_commands.add_verbs(verbs), *follow_commands.add_verbs(verbs)):
        verb.add_argument("--json", action="store_true", help="JSON on stdout, errors too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
