"""What was found, measured by what people annotated: counts, intervals, and the report."""
