"""The steps of the flows (jobs) as Prefect tasks: read data, train, check, publish, report, make recommendations."""
