"""Experiments in the gateway: the arms of each request, what they change in its query, and the watch over arms."""
