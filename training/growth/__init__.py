"""How the seconds and the memory of training grow with the data."""
