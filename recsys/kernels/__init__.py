"""Loops over single numbers, compiled: what numpy would do in a dozen passes and arrays. Arrays in, arrays out.

Compiled by Numba on the first call and kept in a cache on disk. Nothing here checks a bound: rows of tables come from a
generation, which may be of anybody's making, so whoever looks a row up says that it is one, and
`recsys.generation.content_checks` that a generation's tables have the shapes that are read.
"""
