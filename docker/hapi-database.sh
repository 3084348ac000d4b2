#!/bin/sh
# A second database, for the FHIR server. Run by the image of PostgreSQL when its volume is new.
set -eu
createdb --username "$POSTGRES_USER" --owner "$POSTGRES_USER" hapi
