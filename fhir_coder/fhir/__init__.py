"""Coded notes to FHIR R4 resources."""
