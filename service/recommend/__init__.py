"""From a query to a slate: the stages of a request, merging of requests, and the fallbacks of stages."""
