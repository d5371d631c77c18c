"""What training and serving must agree on.

Types, features, towers, ranker, generation, index and store. This package knows no BentoML, Prefect,
Locust or HTTP. Its model wing (`towers`, `ranker`, `index`, `retriever`: torch) and its storage wing
(`store`: redis) never import each other; both stand on the numpy modules between them.
"""
