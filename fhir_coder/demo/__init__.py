"""The demo: two notes, and the run that sends them through the service."""
