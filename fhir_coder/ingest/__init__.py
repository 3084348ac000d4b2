"""Bytes in, notes out: FHIR DocumentReference, HL7 v2 and plain text files become `Note` records."""
