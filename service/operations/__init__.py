"""What the page /operations shows and starts: the last hour of requests, flows, generations, promotion and rollback."""
