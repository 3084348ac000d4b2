"""Identities that follow from the content, so that sending a note again changes nothing.

An identity is a hash of the source document and of what was found in it. It depends neither on the time nor on
the version of this package: a note that is coded again meets its earlier resources through `ifNoneExist`.
"""

from __future__ import annotations

import hashlib
import uuid

from fhir_coder.model import Note

IDENTIFIER_SYSTEM = "http://fhir-coder.org/fhir/identifier/derived"

_LENGTH = 40  # hex digits, 160 bits; a tag's code and an identifier's value stay readable
_SEPARATOR = "\x1f"  # stands in no code and no text, so ("a", "bc") and ("ab", "c") differ


def digest(*parts: str) -> str:
    """Return the hash of the parts in their order."""
    return hashlib.sha256(_SEPARATOR.join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:_LENGTH]


def document_identity(note: Note) -> str:
    """Return what tells this document from every other one.

    A name alone ("visit.txt") does not: files of two patients, or in two folders, may bear the same.
    """
    if note.document:
        return identity_of(note.document)
    if note.names:  # the first is its masterIdentifier: another version of the same text has the same
        return identity_of(note.names[0])
    return digest("text", note.id or "", note.subject or "", note.text)


def identity_of(reference: str) -> str:
    """Return the identity of the document to which a reference leads, in the form that `Note.document` has."""
    return digest("reference", reference)


def full_url(value: str) -> str:
    """Return the `urn:uuid:` under which a Bundle knows the resource of this identity."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{IDENTIFIER_SYSTEM}|{value}')}"
