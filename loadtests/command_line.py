"""Command-line options of the load test beside Locust's own: the rate, its shape, users, deadline, API key and files.

The command line, Locust's web page and the workers of a master use them. `python -m loadtests.command_line` prints
them: `locust --help` shows no option of a locustfile.
"""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from locust.argument_parser import LocustArgumentParser

from loadtests.arrivals import SHAPES, Shape
from loadtests.doors import RECOMMEND
from loadtests.options import number, result_file, share, user_file
from loadtests.slo import RESULTS, ROOT, Promises, Slo, surfaces
from loadtests.user_sequence import Population
from recsys.errors import SettingsError, SurfacesError
from recsys.surfaces import DEFAULT, NAME, Surface

SPAWN_RATE = 100.0
"""Users a second, Locust's highest without a warning: the load starts when all users exist."""

EPILOG = """\
--users is the number of clients, each with connections of its own, over which the load is spread. More users send no
more requests: --rate, --shape, --seconds and --pieces describe the whole load. --processes, and --master with --worker,
spread the load over processes and machines. The same --seed sends the same requests at the same moments for any number
of users and processes. The run starts when all users exist, and ends when the shape ends and the answers are there.

Locust's web page (without --headless) starts one run after the other. Each run is judged alone and replaces --result.

Exit code: 0 every limit held, 1 a limit did not hold, 3 the generator was late or lost a process: nothing was measured.

    python -m locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:3000 --users 4 --processes 2
"""


class LoadError(ValueError):
    """The load cannot be sent; the message has the reason and the fix."""


def pieces(text: str) -> str:
    """SECONDS:RATE,SECONDS:RATE, checked; a text, since Locust sends the options to its workers."""
    Shape.read(text)
    return text


def surface(text: str) -> str:
    """The name of a surface. The deployment has the last word on which ones exist."""
    if NAME.fullmatch(text):
        return text
    raise ArgumentTypeError(f"{text!r} is no name of a surface (docs/surfaces.md)")


OPTIONS: dict[str, dict[str, Any]] = {
    "rate": {"type": number(float, 0, 1e5), "default": 0.0, "help": "requests a second in all; 0: the promised rate"},
    "shape": {"choices": list(SHAPES), "default": "steady", "help": "how the rate changes over time"},
    "pieces": {"type": pieces, "help": "SECONDS:RATE,SECONDS:RATE instead of --rate, --shape and --seconds"},
    "seconds": {"type": number(float, 0.1, 1e6), "default": 30.0, "help": "length of the run"},
    "warmup": {
        "type": number(float, 0, 3600),
        "default": 3.0,
        "help": "seconds at the first rate before the run, sent and not counted",
    },
    "seed": {"type": int, "default": 1, "help": "seed of arrivals and users"},
    "door": {
        "choices": ["http", "grpc"],
        "default": "http",
        "include_in_web_ui": False,
        "help": "protocol; with grpc, --host is host:port",
    },
    "key": {
        "env_var": "TANDEM_KEY",
        "default": "",
        "is_secret": True,
        "help": "API key with the scopes read and write; other users of the machine can read the command line",
    },
    "surface": {
        "type": surface,
        "default": DEFAULT,
        "help": "surface that the requests name; its promise in surfaces.toml is the limit, else that of slo.toml",
    },
    "path": {"default": RECOMMEND, "help": "of another verb over HTTP, such as /rank; with --body"},
    "body": {"default": "", "help": 'JSON of the requests instead of --k, where "{id}" stands for the user'},
    "give-up": {"type": number(float, 0.1, 600), "default": 10.0, "help": "seconds until a request has failed"},
    "pid": {
        "type": int,
        "default": 0,
        "include_in_web_ui": False,
        "help": "process id of the deployment on this machine; its CPU time is measured",
    },
    "k": {"type": number(int, 1, 100), "help": "items of a slate; default: those of the surface in surfaces.toml"},
    "deadline-ms": {
        "type": number(int, 0, 999_999),
        "default": 0,
        "help": "deadline sent with each request; 0: the deployment's own",
    },
    "user-file": {
        "type": user_file,
        "help": "file of user ids, one a line, the most frequent first; default: users of the live generation, which "
        "`python -m flows users` reads from the store of REDIS_URL or TANDEM_HOME",
    },
    "known-users": {"type": number(int, 1, 1e7), "default": 0, "help": "number of users, whose ids are 1, 2, 3, ..."},
    "cold-share": {"type": share, "default": Population.cold_share, "help": "share of requests by unknown users"},
    "clicks": {
        "action": "store_true",
        "help": "send clicks, by load-test users; their history expires after an hour",
    },
    "click-share": {"type": share, "default": 0.05, "help": "with --clicks, share of requests by load-test users"},
    "result": {
        "default": str(RESULTS / "load.json"),
        "include_in_web_ui": False,
        "help": "file of the figures; the report is written beside it",
    },
    "figures-only": {"action": "store_true", "include_in_web_ui": False, "help": "write no report"},
}
"""By name, without the dashes: the arguments of `add_argument`."""


def add_options(parser: LocustArgumentParser) -> None:
    """Add the options of the load to Locust's parser."""
    parser.prog = "python -m locust"
    parser.epilog = EPILOG
    parser.set_defaults(spawn_rate=SPAWN_RATE)
    for name, arguments in OPTIONS.items():
        parser.add_argument(f"--{name}", **arguments)


def check(options: Namespace) -> None:
    """Check the values again: Locust's web page sets options without the checks of the command line."""
    if (options.num_users or 1) < 1 or (options.spawn_rate or SPAWN_RATE) <= 0:
        raise LoadError("--users and --spawn-rate are above 0: without users nothing is sent")
    try:
        result_file(options.result)  # here and not by the parser: a worker writes no result
    except ArgumentTypeError as error:
        raise LoadError(f"--result: {error}") from error
    try:
        Promises.read()
    except (SettingsError, SurfacesError) as error:
        raise LoadError(str(error)) from error
    for name, arguments in OPTIONS.items():
        value, convert = getattr(options, name.replace("-", "_")), arguments.get("type")
        if value in (None, "", arguments.get("default")):
            continue
        if value not in arguments.get("choices", [value]):
            raise LoadError(f"--{name}: {value!r} is none of {', '.join(arguments['choices'])}")
        try:
            if convert:
                convert(str(value))
        except (ArgumentTypeError, ValueError) as error:
            raise LoadError(f"--{name}: {error}") from error
    _check_body(options)


def _check_body(options: Namespace) -> None:
    """The options of another verb say everything about its requests."""
    if options.path != RECOMMEND and not options.body:
        raise LoadError("--path: send the JSON of its requests with --body")
    if options.body and options.door == "grpc":
        raise LoadError("--body is of requests over HTTP: leave out --door grpc")
    if options.body and options.surface != DEFAULT:
        raise LoadError("--body has all of the request: leave out --surface, and write it into the body")


def rate_of(options: Namespace) -> float:
    """Requests a second, which the shape changes over time; of --pieces the first rate."""
    return float(shape_of(options).pieces[0][1] if options.pieces else options.rate or Slo.read(options.surface).rate)


def slate_size(options: Namespace) -> int:
    """Items of a slate: those of --k, else those of the surface."""
    return int(options.k or surfaces().get(options.surface, Surface()).k)


def shape_of(options: Namespace) -> Shape:
    """The rate over time that the options describe."""
    return Shape.read(options.pieces) if options.pieces else SHAPES[options.shape](rate_of(options), options.seconds)


def population_of(options: Namespace) -> Population:
    """The users of the options, by default those of the live generation."""
    if options.known_users:
        return Population(options.known_users, cold_share=options.cold_share)
    if options.user_file:
        names = tuple(Path(options.user_file).read_text(encoding="utf-8").splitlines())
    else:
        names = _live_users()
    return Population(cold_share=options.cold_share, names=names)


def _live_users() -> tuple[str, ...]:
    command = [sys.executable, "-m", "flows", "users"]
    read = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if read.returncode or not read.stdout.strip():
        reason = read.stderr.strip() or "The live generation has no users."
        raise LoadError(f"no users to send requests for. {reason} Or name users: USERS=FILE, --user-file FILE.")
    return tuple(read.stdout.splitlines())


if __name__ == "__main__":
    described = LocustArgumentParser(add_help=False, formatter_class=RawDescriptionHelpFormatter)
    add_options(described)
    described.print_help()
