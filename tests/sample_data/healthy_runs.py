"""Records of flows that run on their schedule, for tests of alerts."""

from dataclasses import replace

from flows import CANARY_SECONDS, DRAIN_SECONDS, DRIFT_SECONDS, MONITOR_SECONDS, REFRESH_SECONDS
from recsys.store.run_record import COMPLETED, RunFigures, RunRecord

NIGHT = 86_400.0
PERIODS = {
    "train": NIGHT,
    "batch": NIGHT,
    "item-lists": NIGHT,
    "refresh": REFRESH_SECONDS,
    "drain": DRAIN_SECONDS,
    "drift": DRIFT_SECONDS,
    "experiment-reports": DRAIN_SECONDS,
    "monitor": MONITOR_SECONDS,
    "canary": CANARY_SECONDS,
}
NOW = 10 * NIGHT
FIGURES = RunFigures(rows_in=1_000, rows_out=900, quality=0.2)


def healthy(flow):
    """Eight runs, newest first: rows and times vary by a tenth. The last run ended half a period ago."""
    period = PERIODS[flow]
    ends = [NOW - (number + 0.5) * period for number in range(8)]
    seconds = [min(period, 1_200) / 4 * (1 + number % 3 / 20) for number in range(8)]
    rows = [replace(FIGURES, rows_out=900 - 40 * (number % 3)) for number in range(8)]
    return [
        RunRecord(
            flow, f"run-{number}", "often", ends[number] - seconds[number], 7_200, COMPLETED, ends[number], rows[number]
        )
        for number in range(8)
    ]
