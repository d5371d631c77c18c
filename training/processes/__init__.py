"""The processes of a run: Dask workers for data in parts, and the ranks of torchrun for the networks."""
