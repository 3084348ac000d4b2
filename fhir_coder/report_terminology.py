"""Releases as tables that people read."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.prepare import Installed
from fhir_coder.terminology.catalogue import Manifest

_MEGABYTE = 1 << 20
_COUNTED = ("concepts", "names", "maps", "clinical drugs", "retired", "headers")


def import_table(manifests: Sequence[Manifest]) -> Table:
    """Return the summary of an import: what was stored, what was skipped and why."""
    result = Table(title="Imported", title_justify="left", header_style="bold")
    for column in ("ID", "Release", "Version"):
        result.add_column(column, overflow="fold")
    for column in _COUNTED:
        result.add_column(column.capitalize(), justify="right")
    result.add_column("Skipped")
    for manifest in manifests:
        counts = (f"{manifest.counts.get(column, 0):,}" for column in _COUNTED)
        head = (Text(text) for text in (manifest.id, manifest.title, manifest.version))
        result.add_row(*head, *counts, Text(_skipped(manifest)))
    return result


def release_table(releases: Sequence[Installed]) -> Table:
    """Return the releases, one a line."""
    result = Table(header_style="bold")
    for column in ("ID", "Release", "Version", "Role"):
        result.add_column(column, overflow="fold")
    for column in ("Concepts", "Names"):
        result.add_column(column, justify="right")
    for release in releases:
        manifest = release.manifest
        head = (Text(text) for text in (manifest.id, manifest.title, manifest.version, release.role))
        result.add_row(*head, f"{manifest.counts['concepts']:,}", f"{manifest.counts['names']:,}")
    return result


def release_details(release: Installed) -> Table:
    """Return all that is known of a release."""
    manifest = release.manifest
    short = {uri: name for name, uri in CODE_SYSTEMS.items()}.get(manifest.system)
    result = Table(title=Text(manifest.title, style="bold"), title_justify="left", show_header=False)
    result.add_column()
    result.add_column(overflow="fold")
    rows = {
        "ID": manifest.id,
        "Code system": f"{manifest.system} ({short})" if short else f"{manifest.system} (its codes are not emitted)",
        "Version": manifest.version,
        "Role": release.role,
        "Kind": f"{manifest.kind}, read as {manifest.format} on {manifest.imported}",
        **{name.capitalize(): f"{manifest.counts.get(name, 0):,}" for name in _COUNTED},
        "Skipped": _skipped(manifest),
        "Vectors": release.vectors,
        "Disk": f"{release.bytes / _MEGABYTE:,.0f} MB",
        "Sources": "\n".join(f"{name}  SHA-256 {digest}" for name, digest in manifest.sources.items()),
    }
    for name, value in rows.items():
        result.add_row(name, Text(value))
    return result


def _skipped(manifest: Manifest) -> str:
    left_out = dict(manifest.skipped)
    if unknown := manifest.counts.get("names of unknown codes"):
        left_out["names of unknown codes"] = unknown
    return "\n".join(f"{count:,} {reason}" for reason, count in left_out.items()) or "nothing"
