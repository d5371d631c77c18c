"""Stage 6, export: the folder of a generation, with the records of its users."""
