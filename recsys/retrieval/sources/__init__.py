"""The candidate sources, one in each module, which defines it as SOURCE. docs/sources.md says how to add one."""
