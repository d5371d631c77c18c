"""Stage 5, judge: replay serving for test queries, compute metrics, compare with baselines and with what is live."""
