"""The BentoML deployment: gateway, retrieval, ranking.

Logic lives in plain classes (`pipeline`, `stages`, `batcher`, `holder`); the BentoML services are thin shells over
them. Knows nothing of `training` or `flows`.
"""

import os

# grpc logs a line for each call with a packed message, so any client could fill the log. It reads this when imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
