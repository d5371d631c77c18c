"""What the operating verbs do, without Prefect: status, generations, promote, roll back, the BentoML model store."""
