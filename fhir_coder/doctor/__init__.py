"""`fhir-coder doctor`: looks at everything the program needs, changes nothing, and says what to do."""
