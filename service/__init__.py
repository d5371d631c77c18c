"""The BentoML deployment: gateway, retrieval, ranking.

`gateway`, `retrieval` and `ranking` are the BentoML services; each calls plain classes, which `wiring` makes. Nothing
here imports `training` or `flows`.
"""

import os

# grpc logs a line for each compressed message, so any client could fill the log. It reads the variable when imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
