"""The command line `python -m flows COMMAND`: train, publish and inspect models, and run the batch jobs.

Exit codes: 0 done, 1 failed with one sentence, 2 wrong command line, 130 interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable

from recsys.errors import TandemError
from recsys.process.command_exit import interruptible_imports, required_packages

with required_packages(), interruptible_imports():
    from flows.cli import drift_command, experiment_commands, operate_commands, recurring_commands, run_command
    from flows.cli.output import print_error
    from flows.cli.own_session import run_in_own_session

TERMINATED = 128 + signal.SIGTERM
"""The exit code that shells give to a process ended by SIGTERM. A normal exit closes the store and Prefect first."""


@required_packages()
def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = parser().parse_args(arguments)
    if arguments is None and options.own_session:
        return run_in_own_session(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    verb: Callable[[argparse.Namespace], None] = options.verb
    try:
        verb(options)
    except TandemError as error:
        print_error(error, as_json=options.json)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = argparse.ArgumentParser(prog="python -m flows", description="Train, publish and inspect generations.")
    parser.set_defaults(own_session=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for commands in (run_command, operate_commands, recurring_commands, drift_command, experiment_commands):
        for verb in commands.add_verbs(verbs):
            verb.add_argument("--json", action="store_true", help="JSON on stdout, errors too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
