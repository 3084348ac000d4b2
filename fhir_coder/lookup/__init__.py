"""The line protocol: short descriptions in, one code each out, over TCP and TLS. READ FIRST: protocol.py."""
