"""Proofs that work on Dask workers gives the same results as work in one process, and costs no more."""
