"""One module for each candidate source; a module defines SOURCE. docs/sources.md says how to add one."""
