"""An attacker as if it had a machine of its own: from cores that it shares it takes what nobody else wants."""

from __future__ import annotations

import os


def stand_aside() -> None:
    """Have this process, and what it starts, run only where a core would idle; nearly so where that is refused.

    An attacker comes from another machine: what it takes of the cores here is no cost of the attack. What the
    deployment does about it is, and runs as ever.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        os.nice(19)
