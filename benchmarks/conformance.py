"""How many of the resources that notes become a FHIR server accepts with the profiles on, and Bundles per CPU second.

Run: .venv/bin/python benchmarks/conformance.py [transcriptions]. The notes are the golden ones and transcriptions of
MTSamples (where present), coded before and without models; every other one belongs to a known encounter. The server
(npm, installed when first needed) validates what it is told to by `meta.profile`: US Core in three releases, IPS, ours.
Exit status 1 when a resource is refused.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
RELEASES = {"us_core_610": "6.1", "us_core_700": "7.0", "us_core_800": "8.0"}


def main() -> int:
    """Measure and print."""
    sys.path.insert(0, str(ROOT))
    from fhir_coder import Coder, to_bundle
    from fhir_coder.fhir.checks import check
    from fhir_coder.settings import Settings
    from tests.integration.conftest import running_fhir_server
    from tests.integration.test_conformance import DATE, coded_notes, golden_texts, refused, transcriptions

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    console = Console(width=100)
    coder = Coder.from_settings(Settings.load(encoder="none", recogniser="none"))
    texts = golden_texts() + transcriptions(count)
    coded = list(coded_notes(coder, texts))
    check(to_bundle(coded[0]))  # tables are loaded when they are first needed

    begun = time.process_time()
    bundles = [to_bundle(each, recorded=DATE) for each in coded]
    built = time.process_time() - begun
    begun = time.process_time()
    for bundle in bundles:
        check(bundle)
    checked = time.process_time() - begun
    entries = sum(len(bundle["entry"]) for bundle in bundles)
    console.print(
        f"{len(bundles)} Bundles of {entries / len(bundles):.0f} resources ({sum(map(len, texts)) / len(texts):,.0f} "
        f"characters): {len(bundles) / (built + checked):.0f} built and checked per CPU second "
        f"({built / len(bundles) * 1e3:.1f} ms + {checked / len(bundles) * 1e3:.1f} ms)"
    )
    faults = 0
    table = Table(title="accepted by the FHIR server, of all sent", title_justify="left")
    table.add_column("resource")
    columns: list[dict[str, str]] = []
    for release, name in RELEASES.items():
        table.add_column(f"US Core {name}, IPS 1.1, ours", justify="right")
        with tempfile.TemporaryDirectory() as folder, running_fhir_server(Path(folder) / "log", release) as server:
            sent, not_taken = refused(server, bundles)
        faults += len(not_taken)
        failed = Counter(resource_type for resource_type, _ in not_taken)
        columns.append({each: f"{sent[each] - failed[each]:,} of {sent[each]:,}" for each in sorted(sent)})
        columns[-1]["all"] = f"{sum(sent.values()) - len(not_taken):,} of {sum(sent.values()):,}"
    for each in columns[0]:
        table.add_row(each, *(column[each] for column in columns))
    console.print(table)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
