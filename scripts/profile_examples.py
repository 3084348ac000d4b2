"""Write the examples of our profiles: what `profiles/examples/note.txt` becomes, one file per resource.

Run: .venv/bin/python scripts/profile_examples.py. They depend on the releases that are loaded; a test compares them.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fhir_coder import Coder, Note, to_bundle
from fhir_coder.fhir.audit_event import Act, Peer, audit_event
from fhir_coder.fhir.checks import check
from fhir_coder.fhir.elements import OURS
from fhir_coder.settings import Settings

FOLDER = Path(__file__).resolve().parent.parent / "profiles" / "examples"
SEEN = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
CODED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

Json = dict[str, Any]


def examples(coder: Coder) -> dict[str, Json]:
    """Return the resources of the example note by the names of their files."""
    note = Note(
        text=(FOLDER / "note.txt").read_text(encoding="utf-8"),
        id="example",
        subject="Patient/example",
        encounter="Encounter/example",
        date=SEEN,
        doc_status="final",
    )
    bundle = to_bundle(coder(note), recorded=CODED)
    check(bundle)
    named: dict[str, Json] = {}
    places = {}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        profile = next(url for url in resource["meta"]["profile"] if url.startswith(OURS)).removeprefix(OURS)
        same = sum(each["id"].startswith(profile) for each in named.values())
        identity = profile if not same else f"{profile}-{same + 1}"
        named[f"{resource['resourceType']}-{identity}.json"] = {"id": identity, **resource}
        places[entry["fullUrl"]] = f"{resource['resourceType']}/{identity}"
    text = re.sub(r"urn:uuid:[0-9a-f-]{36}", lambda found: places[found.group()], json.dumps(named))
    resolved: dict[str, Json] = json.loads(text)
    resolved["AuditEvent-coded-audit-event.json"] = _audit_event([*places.values()])
    # The software's version is not the example's business.
    for name in ("Provenance-coded-provenance.json", "AuditEvent-coded-audit-event.json"):
        resolved[name]["agent"][0]["who"]["display"] = "fhir-coder"
    return resolved


def _audit_event(written: list[str]) -> Json:
    """Return the AuditEvent of writing the resources to a server."""
    act = Act(
        interaction="create",
        request="example",
        recorded=CODED.isoformat(),
        client=Peer(name="", address="coder.example.org", network="1"),
        server=Peer(name="fhir.example.org", address="http://fhir.example.org/fhir", network="5"),
        data=tuple(written),
        patient="Patient/example",
    )
    event = audit_event(act, "example")
    event["source"]["observer"]["display"] = "fhir-coder"
    return {"id": "coded-audit-event", **event}


def main() -> None:
    """Write them."""
    coder = Coder.from_settings(Settings.load(encoder="none", recogniser="none"))
    for old in FOLDER.glob("*.json"):
        old.unlink()
    for name, resource in examples(coder).items():
        (FOLDER / name).write_text(json.dumps(resource, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
