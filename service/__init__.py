"""The recommender server as BentoML services: gateway (answers clients), retrieval (finds candidate items), ranking.

`gateway`, `retrieval` and `ranking` define the services; each calls plain classes, which `wiring` makes. Nothing here
imports `training` or `flows`.
"""

import os

# grpc logs a line for each compressed message, so any client could fill the log. It reads the variable when imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
