"""Annotated notes, in the formats in which people annotate: what recognisers are trained on and measured by."""
