"""Measure a model: splits of the log, ranking metrics, baselines, the live generation beside the new one."""
