"""The steps by which the schema of the database came to be: alembic, run by `fhir_coder.delivery.migrate`."""
