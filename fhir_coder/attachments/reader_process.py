"""The process that reads attachments: `python -m fhir_coder.attachments.reader_process SECONDS MEGABYTES`.

It takes requests from standard input and answers them on standard output, one by one, until its input ends. What it
reads was written by others, so it has limits that the kernel holds: processor time for each attachment and memory for
all. The frames are those of `reader_pool`; the answer is JSON, so that nothing it sends can be more than data.
"""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict
from typing import Any, BinaryIO

import orjson

from fhir_coder.attachments.extracted import Limits
from fhir_coder.attachments.reader_frames import read_frame, write_frame
from fhir_coder.errors import InputError, UnsupportedError

_MEGABYTE = 1 << 20


def main(seconds: float, megabytes: int) -> None:
    """Answer requests until the input ends."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # a parser that prints must not break the frames
    from fhir_coder.attachments import readers  # before memory is limited: code needs address space too

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (megabytes * _MEGABYTE, megabytes * _MEGABYTE))
    while (head := read_frame(requests)) is not None:
        raw = read_frame(requests) or b""
        _allow(seconds)
        if not _answer(answers, orjson.loads(head), raw, readers.read_format):
            return


def _answer(answers: BinaryIO, request: dict[str, Any], raw: bytes, read_format: Any) -> bool:
    """Answer one request. False when this process is not to answer another one."""
    go_on = True
    try:
        found = read_format(raw, request["format"], request["charset"], Limits(**request["limits"]))
        # One for one: halves of surrogate pairs are no text that JSON can hold.
        text = found.text.encode("utf-8", "replace").decode("utf-8")
        answer = orjson.dumps({"text": text, "origins": [asdict(origin) for origin in found.origins]})
    except UnsupportedError as error:
        answer = orjson.dumps({"unsupported": str(error)})
    except InputError as error:
        answer = orjson.dumps({"error": str(error), "code": error.code})
    except MemoryError:
        answer, go_on = b'{"memory":true}', False
    write_frame(answers, answer)
    return go_on


def _allow(seconds: float) -> None:
    """Let the kernel end this process when the next attachment takes more processor time than this."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 2, hard))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
