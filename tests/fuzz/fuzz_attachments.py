"""Fuzz the readers of attachments: nothing but input errors may come out of them, whatever goes in.

Run: .venv/bin/python tests/fuzz/fuzz_attachments.py FORM [seconds], FORM being html, rtf, cda, pdf or gzip. It needs
the extra "fuzz" (atheris, which follows the branches that an input takes). Exit status 0 when the time is up and
nothing was found; the input that broke a reader is left in the file that libFuzzer names. An exception of a library is
expected, one that our own code raises is a find.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
LONGEST = 20_000  # bytes
SLOW = 20  # seconds for one input


def main() -> None:
    """Fuzz one form, beginning with the samples of the tests."""
    import atheris

    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["fhir_coder.attachments", "striprtf", "pypdf", "html.parser"]):
        from fhir_coder.attachments.extracted import Limits
        from fhir_coder.attachments.gzip import unzipped
        from fhir_coder.attachments.readers import read_format
    from fhir_coder.errors import InputError
    from tests.unit.attachments.samples import CDA, HTML, RTF, pdf, require_not_ours

    form, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS
    limits = Limits(chars=200_000, bytes=1_000_000)
    samples = {
        "html": [HTML.encode()],
        "rtf": [RTF],
        "cda": [CDA.encode()],
        "pdf": [pdf([["Pt has HTN."], ["No fever."]])],
        "gzip": [gzip.compress(b"Pt has HTN.")],
    }[form]

    def read(raw: bytes) -> None:
        try:
            if form == "gzip":
                assert len(unzipped(raw, limits.bytes, place="x")) <= limits.bytes
                return
            found = read_format(raw, form, None, limits)
        except InputError as error:
            require_not_ours(error)
            return
        ends = [0]
        for origin in found.origins:
            assert ends[-1] <= origin.start <= origin.end <= len(found.text)
            ends.append(origin.end)

    with tempfile.TemporaryDirectory() as corpus:
        for number, sample in enumerate(samples):
            (Path(corpus) / f"sample{number}").write_bytes(sample)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOW}", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], *options, corpus], read)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
