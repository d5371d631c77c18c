"""What the operating verbs do, without Prefect: publish, promote, delete, status, generations, the model store."""
