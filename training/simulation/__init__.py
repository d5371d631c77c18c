"""The proof of the feedback loop: simulated users visit real deployments that train each night on what users did.

`python -m training.simulation prove` compares deployments whose only difference is what they learn from.
"""
