"""Files on this host: files that are read again when they change."""
