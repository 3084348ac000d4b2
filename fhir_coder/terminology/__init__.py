"""Releases of code systems -> one concept store."""
