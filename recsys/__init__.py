"""What training and serving share: types, models, retrieval, generations, rules and the store.

This package imports no BentoML, Prefect, Locust or HTTP library. The model wing (`model`, `retrieval`, `kernels`) and
the storage wing (`store`) do not import each other.
"""
