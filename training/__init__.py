"""Training of the recommender: read an interactions log, split it in time, train the models, evaluate them, and export
a generation for the servers.

A generation is one trained set of models and tables. The package needs no Prefect, no Redis and no running server. It
sets how torch's threads wait, because OpenMP reads that setting once, when torch is imported.
"""

import os

# Waiting threads that spin slow each other down on shared cores. Beside two busy processes on two cores an epoch takes
# 10.4 s with spinning threads, 5.0 s with sleeping threads; on idle cores both take the same time.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
