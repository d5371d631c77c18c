"""The store in Redis or Valkey: trained models and tables, users, events, items added after training, impressions."""
