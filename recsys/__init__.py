"""Code that the recommender's training and its servers share: types, models, retrieval of candidates, rules, storage.

This package imports no BentoML, Prefect, Locust or HTTP library. Models (`model`, `retrieval`, `kernels`) and storage
(`store`) do not import each other.
"""
