"""From an interactions log to a generation: dataset, split, loss, fit, evaluate, export.

Runs without Prefect and without a store. Knows nothing of `service`. Importing it says how torch's threads wait, which
OpenMP reads once, when torch is imported.
"""

import os

# Threads that spin while they wait starve each other where cores are shared: an epoch took 10.4 s beside two busy
# processes on two cores, 5.0 s when waiting threads sleep, and as long either way on idle cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
