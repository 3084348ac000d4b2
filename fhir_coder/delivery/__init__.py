"""Where the resources go: a FHIR server or a folder."""
