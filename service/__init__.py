"""The BentoML deployment: gateway, retrieval, ranking.

Logic lives in plain classes (`pipeline`, `stages`, `coalescer`, `holder`); the BentoML services are thin shells over
them. Knows nothing of `training` or `flows`.
"""
