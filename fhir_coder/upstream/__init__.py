"""The FHIR server that documents come from: what it notifies of, what it holds, what it exports."""
