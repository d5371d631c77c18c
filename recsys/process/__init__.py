"""How a process starts and ends: missing packages, an interruption by Ctrl-C, the death of its parent."""
