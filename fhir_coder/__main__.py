"""`python -m fhir_coder` is the command `fhir-coder`."""

from fhir_coder.cli import main

main()
