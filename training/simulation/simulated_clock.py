"""The clock of a simulated deployment: its processes see a time that the simulation sets, so days pass in seconds.

The processes preload a small C library (`clock.c`), which adds the seconds of a file to the time of day. Server, store
and training then agree, as on one host, and need no setting for it.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import time
from pathlib import Path

from recsys.errors import SettingsError

SOURCE = Path(__file__).with_name("clock.c")

DAY_ZERO = 1_767_571_200.0
"""The first moment of day 0 of a proof: Monday, 5 January 2026, UTC."""


class SimulatedClock:
    """A clock for processes that start with `variables`. Set it before they start, then only forward."""

    def __init__(self, folder: Path) -> None:
        """folder: for the library and the file with the seconds. SettingsError without a C compiler."""
        folder.mkdir(parents=True, exist_ok=True)
        library, path = folder / "clock.so", folder / "clock"
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        if compiler is None:
            raise SettingsError("The proof compiles a small C library, and there is no compiler. Install gcc or clang.")
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            raise SettingsError(f"{SOURCE} can't be compiled by {compiler}: {built.stderr.strip()}")
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), 8)
        self.variables = {"LD_PRELOAD": str(library), "TANDEM_SIMULATED_CLOCK": str(path)}

    def set(self, day: int, hour: float) -> None:
        """Set the time of all processes to an hour of a day."""
        moment = DAY_ZERO + 86_400 * day + 3_600 * hour
        self._mapped[:] = struct.pack("=q", round(moment - time.time()))
