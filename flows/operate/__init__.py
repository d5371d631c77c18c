"""Operate trained models without Prefect: publish, promote, delete, list, show the live ones, pin one for a bento."""
