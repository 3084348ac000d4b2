"""How this program shows the configured FHIR server, and nobody else, who it is. READ FIRST: `server_access.py`."""
