"""The commands of the line protocol: `serve-lines`, `certificates` and `benchmark lookup`."""

from __future__ import annotations

import ssl
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.model import CODE_SYSTEMS
from fhir_coder.settings import Settings
from fhir_coder.terminal import print_json, print_table

if TYPE_CHECKING:
    from fhir_coder.lookup.figures import Figures

benchmark = typer.Typer(help="Measure this installation.", no_args_is_help=True)


@benchmark.callback()
def _group() -> None:
    """Keep `lookup` a command of its own, although there is only one yet."""


class Encryption(StrEnum):
    """How the line protocol is served."""

    TCP = "tcp"
    TLS = "tls"
    BOTH = "both"


def serve_lines(
    protocol: Annotated[
        Encryption | None, typer.Option(help="In clear text, with TLS, or both; default: tcp, or the setting.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65531, help="First of the five ports; 0 takes free ones.")
    ] = None,
    tls_port: Annotated[
        int | None, typer.Option(min=0, max=65531, help="First of the five TLS ports; 0 takes free ones.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes that answer.")] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Serve the line protocol alone, until stopped (Ctrl-C or SIGTERM): 'seq,description' in, 'seq,code' out.

    Example: fhir-coder serve-lines, then: printf '1,high blood pressure\\n' | nc -q 1 localhost 8901
    """
    from fhir_coder.lookup.serve import run

    settings = Settings.load(
        settings_file,
        line_protocol=protocol.value if protocol else None,
        line_host=host,
        line_port=port,
        line_tls_port=tls_port,
        line_workers=workers,
    )
    run(settings if settings.line_protocol != "off" else settings.model_copy(update={"line_protocol": "tcp"}))


def certificates(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the certificates and keys.")],
    host: Annotated[
        list[str] | None, typer.Option(help="A further name or address of the server; may be given several times.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make them anew, even if there are some.")] = False,
) -> None:
    """Make certificates for development: an authority, a server certificate for localhost, a client certificate.

    Example: fhir-coder certificates tls --host lines.example.org
    """
    from fhir_coder.lookup.certificates import Certificates, make_certificates

    found: Certificates = make_certificates(folder.absolute(), host or (), force=force)
    typer.echo("Made:" if found.made else "These are there, and were kept (--force makes them anew):")
    for path in found.paths:
        typer.echo(f"  {path}")
    typer.echo(_ADVICE.format(found=found, host=(host or ["localhost"])[0]))


_ADVICE = """
To serve with TLS, set (in the environment, or in the settings file without FHIR_CODER_, in small letters):
  FHIR_CODER_LINE_PROTOCOL=tls
  FHIR_CODER_LINE_TLS_CERTIFICATE={found.server.certificate}
  FHIR_CODER_LINE_TLS_KEY={found.server.key}
To ask clients for a certificate, also:
  FHIR_CODER_LINE_TLS_CLIENT_CA={found.authority.certificate}
MLLP has the same settings with MLLP in place of LINE, and FHIR_CODER_MLLP=tls.
Clients trust {found.authority.certificate}, and show {found.client.certificate} with {found.client.key}:
  openssl s_client -quiet -connect {host}:8911 -CAfile {found.authority.certificate} \\
    -cert {found.client.certificate} -key {found.client.key}
For development only: give nobody {found.authority.key}; in production use certificates of your own authority."""


class Output(StrEnum):
    """How figures are printed."""

    TABLE = "table"
    JSON = "json"


@benchmark.command("lookup")
def benchmark_lookup(
    requests: Annotated[
        int, typer.Option(min=10, help="Requests to each code system, and to all of them together.")
    ] = 1000,
    concurrent: Annotated[int, typer.Option(min=1, help="Requests at one time.")] = 100,
    system: Annotated[
        list[str] | None, typer.Option(help="Only this code system (icd10cm, ...); may be given several times.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Load a server that runs there; default: one is started.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65531, help="Its first port; default: 8901, with --ca 8911.")
    ] = None,
    authority: Annotated[
        Path | None, typer.Option("--ca", help="Over TLS: the authority (PEM) that its certificate is from.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="A client certificate (PEM) to show.")] = None,
    key: Annotated[Path | None, typer.Option(help="The key of the client certificate.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes of the server that is started.")] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, help="Threshold of the server that is started; 0: it always answers.")
    ] = None,
    ranked: Annotated[
        bool, typer.Option(help="Also rank the queries in this process: acc@1 and acc@5, and by vectors alone.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Of the choice of names and of what is done to them.")] = 1,
    output: Annotated[Output, typer.Option("--format", help="What to print.")] = Output.TABLE,
    settings_file: SettingsFile = None,
) -> None:
    """Measure the line protocol: lookups per second, the times, and how many of the codes are right.

    The queries are names of the loaded releases: 50 % as they are, 20 % misspelt, 15 % abbreviated, 15 % paraphrased.

    Example: fhir-coder benchmark lookup --system icd10cm --requests 10000
    """
    from fhir_coder.lookup.benchmark import Plan, measure, running, started

    for name in system or ():
        if name not in CODE_SYSTEMS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(CODE_SYSTEMS)}", param_hint="--system")
    settings = Settings.load(settings_file, line_min_confidence=min_confidence)
    plan = Plan(
        systems=tuple(system or CODE_SYSTEMS), requests=requests, concurrent=concurrent, seed=seed, ranked=ranked
    )
    if host is not None or port is not None:
        context = _client_context(authority, certificate, key)
        first = port or (settings.line_tls_port if context else settings.line_port)
        figures = measure(settings, plan, running(host or "localhost", first, context))
    else:
        given = {"LINE_WORKERS": workers, "LINE_MIN_CONFIDENCE": min_confidence}
        environment = {f"FHIR_CODER_{name}": str(value) for name, value in given.items() if value is not None}
        with started(settings_file, environment) as server:
            figures = measure(settings, plan, server)
    _print(figures, output)


def _print(figures: Figures, output: Output) -> None:
    from fhir_coder.lookup.figures import ANCESTOR
    from fhir_coder.lookup.report import accuracy_table, speed_table, ways_table

    if output is Output.JSON:
        published = {system: asdict(each) for system, each in ANCESTOR.items()}
        print_json({**asdict(figures), "ancestor": {"hardware": "Apple M2 Max", "figures": published}})
        return
    print_table(speed_table(figures.speeds))
    print_table(accuracy_table(figures.accuracies))
    if figures.ways:
        print_table(ways_table(figures.ways))
    if figures.cost is not None:
        memory = f", {figures.cost.megabytes:,.0f} MB after the load" if figures.cost.megabytes else ""
        typer.echo(f"Server: ready after {figures.cost.start_seconds:.1f} s{memory}.")


def _client_context(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if authority is None:
        if certificate or key:
            raise typer.BadParameter("a client certificate is shown over TLS only: give --ca, too")
        return None
    try:
        context = ssl.create_default_context(cafile=str(authority))
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one
        raise typer.BadParameter(f"the certificates cannot be used: {error}") from error
    return context
