"""The bulk export of `sekmet-fhir`, coded into a folder and back to the server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.adapter import ENVIRONMENT, document, patient, prepared_data
from tests.integration.conftest import free_port
from tests.integration.sekmet import sekmet

NOTES = 30


def test_all_notes_of_a_server_are_coded(tmp_path: Path) -> None:
    data, out = prepared_data(tmp_path / "data"), tmp_path / "out"
    env = ENVIRONMENT | {"FHIR_CODER_DATA_DIR": str(data)}

    def command(*options: object) -> str:
        call = [sys.executable, "-m", "fhir_coder", "bulk", "--server", server.url, *map(str, options)]
        done = subprocess.run(call, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr
        return done.stderr

    with sekmet(tmp_path / "sekmet", free_port()) as server:
        for number in range(NOTES):
            server.put(patient(f"p{number}"))
            server.put(document(f"d{number}", "Assessment: HTN.", f"Patient/p{number}"))
        members = [{"entity": {"reference": f"Patient/p{number}"}} for number in range(NOTES)]
        server.put({"resourceType": "Group", "id": "g1", "type": "person", "actual": True, "member": members})

        assert f"{NOTES} notes coded" in command("--out", out)
        conditions = [json.loads(line) for line in (out / "Condition.ndjson").read_text().splitlines()]
        sources = {each["evidence"][0]["detail"][0]["reference"] for each in conditions}
        assert sources == {f"DocumentReference/d{number}" for number in range(NOTES)}
        assert server.search("Condition") == []

        assert f"{NOTES} notes coded" in command("--group", "g1", "--server-out", "--work", tmp_path / "work")
        assert len(server.search("Condition")) == len(server.search("Provenance")) == NOTES
