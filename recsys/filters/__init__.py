"""Filters: conditions on items, from requests and rules, and the search for the items that meet them."""
