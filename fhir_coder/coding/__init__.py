"""Candidates and context -> codings, or an abstention with its reason."""
