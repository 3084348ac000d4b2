"""Training recognisers: the embedded one, and the user's own."""
