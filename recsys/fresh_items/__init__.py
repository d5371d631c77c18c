"""Items that were put after a generation was trained, and the tables of the generation with these items."""
