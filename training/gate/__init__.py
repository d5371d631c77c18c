"""The gate: may a trained generation go live?"""
