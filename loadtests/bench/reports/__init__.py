"""Reports of the benchmarks: tables and charts of their figures."""
