"""Synthetic releases of code systems, in the true formats of their publishers and with names made of plain words."""
