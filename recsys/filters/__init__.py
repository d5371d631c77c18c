"""Conditions on items, from requests and rules, and the items of a generation that meet them."""
