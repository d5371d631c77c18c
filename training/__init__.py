"""Train a generation from an interactions log: read, split, fit, evaluate, export.

The package needs no Prefect, no store and no service. It sets how torch's threads wait, because OpenMP reads that once,
when torch is imported.
"""

import os

# Waiting threads that spin slow each other down on shared cores. Beside two busy processes on two cores an epoch takes
# 10.4 s with spinning threads, 5.0 s with sleeping threads; on idle cores both take the same time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
