"""Prefect flows: ingest, train, evaluate, gate, publish, promote; `python -m flows VERB`.

A flow orders and watches; what is done is written in `training` and `recsys`. Importing this package sets Prefect's
defaults, since Prefect reads them once, when it is itself imported.
"""

from flows.prefect_defaults import set_prefect_defaults

set_prefect_defaults()
