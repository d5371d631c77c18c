"""Prefect flows: train, batch, refresh and drain, and `python -m flows VERB`.

A flow orders steps, retries them and reports them. The steps' code is in `training` and `recsys`.
"""
