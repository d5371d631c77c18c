"""Run a `python -m flows` command in a session of its own, and end all processes of that session with the command.

Prefect's temporary server needs it: the server outlives a killed run, and Ctrl-C in a terminal would end the server
before the run can report its end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress

from recsys.process import parent_death

COMMAND = "import sys; from flows.__main__ import main; sys.exit(main(sys.argv[1:]))"


def run_in_own_session(arguments: Sequence[str]) -> int:
    """Run `python -m flows` with the arguments in a child process, and return its exit code."""
    forwarded = {signal.SIGTERM}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored behind & and nohup
        forwarded.add(signal.SIGINT)
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        start_new_session=True,
        preexec_fn=parent_death.preexec(),
    )
    for number in forwarded:
        signal.signal(number, lambda received, _: child.send_signal(received))
    code = child.wait()
    with suppress(ProcessLookupError):  # the usual case: the session has no process left
        os.killpg(child.pid, signal.SIGTERM)
    return code if code >= 0 else 128 - code
