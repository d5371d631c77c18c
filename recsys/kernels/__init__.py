"""Compiled loops over arrays: the parts of retrieval and ranking that numpy would run in many passes.

A kernel is compiled by Numba on its first call and kept in Numba's cache on disk. Kernels check no array bounds:
callers pass only rows that exist, and `recsys.generation.content_checks` checks the tables of a generation.
"""
