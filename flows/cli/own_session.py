"""Run a command in a session of its own, and end every process of it with the command.

Prefect's temporary server needs it. The server outlives a run that is killed, and Ctrl-C in a terminal reaches the
server as well, so that the run could not report how it ended.
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


def run_apart(arguments: Sequence[str]) -> int:
    """Run `python -m flows` with the arguments in another process; the exit code."""
    forwarded = {signal.SIGTERM}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it is ignored behind & and nohup
        forwarded.add(signal.SIGINT)
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *arguments],
        start_new_session=True,
        preexec_fn=parent_death.preexec(),
    )
    for number in forwarded:
        signal.signal(number, lambda received, _: child.send_signal(received))
    code = child.wait()
    with suppress(ProcessLookupError):  # the usual case: no process of the session is left
        os.killpg(child.pid, signal.SIGTERM)
    return code if code >= 0 else 128 - code
