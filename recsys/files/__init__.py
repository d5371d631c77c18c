"""Files on this host: whole-file writes, and files that are read again when they change."""
