"""Load tests and benchmarks of the recommender service, over its HTTP and gRPC servers.

The load test judges a run by limits. The benchmarks in `bench` compare the service and its parts with other
implementations.
"""
