"""Start and end of a process: missing packages, Ctrl-C, the death of the parent, and the identity of a process."""
