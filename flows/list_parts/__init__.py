"""The parts of `batch`, `item-lists` and the lists of arms: functions that this process or a Dask worker calls.

They import no Prefect, so that a worker starts without it.
"""
