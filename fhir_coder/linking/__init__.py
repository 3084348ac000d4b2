"""Entities -> ranked candidates per code system."""
