"""Jobs of the recommender as Prefect flows, such as `train`, `batch` and `drain`, and the command `python -m flows`.

A flow orders steps, retries them and reports them. The code of the steps is in `training` and `recsys`.
"""

REFRESH_SECONDS, DRAIN_SECONDS = 120.0, 600.0
"""The intervals of the schedule. prefect.yaml has the same ones."""

DRIFT_SECONDS = 3_600.0

MONITOR_SECONDS = CANARY_SECONDS = 60.0

WAIT_SECONDS = 1_800.0
WAIT_HELP = "seconds after a slate in which an action is its label"
"""The wait of `drain`, and its description on the command line and in Prefect's form."""
