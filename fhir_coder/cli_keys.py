"""`fhir-coder keys`: the API keys that let callers into the service, and the key that lets it into others'."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fhir_coder.cli_terminology import SettingsFile
from fhir_coder.errors import SettingsError
from fhir_coder.settings import Settings

keys = typer.Typer(help="API keys of the service: made here, shown once, kept as hashes.", no_args_is_help=True)


@keys.command()
def add(
    name: Annotated[str, typer.Argument(help="Who is to have the key: letters, digits, points, dashes, underscores.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="SMART system scope, such as system/DocumentReference.cruds; may be repeated; none: all."),
    ] = None,
    settings_file: SettingsFile = None,
) -> None:
    """Make a key and print it, once: it is not kept, and nobody can find it out later.

    Example: fhir-coder keys add mirth --scope system/DocumentReference.cu
    """
    from fhir_coder.service.access.api_keys import add_key
    from fhir_coder.service.access.scopes import EVERYTHING

    print(add_key(_file(settings_file), name, scope or [EVERYTHING]))


@keys.command("list")
def show(settings_file: SettingsFile = None) -> None:
    """List the keys by name, with what they may do and when they were made.

    Example: fhir-coder keys list
    """
    from fhir_coder.service.access.api_keys import read_keys

    for key in read_keys(_file(settings_file)):
        print(key.name, key.created, *key.scopes)


@keys.command()
def remove(
    name: Annotated[str, typer.Argument(help="Whose key no longer lets anybody in; from the next request on.")],
    settings_file: SettingsFile = None,
) -> None:
    """Remove a key.

    Example: fhir-coder keys remove interface-engine
    """
    from fhir_coder.service.access.api_keys import remove_key

    remove_key(_file(settings_file), name)


@keys.command()
def smart(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The private key (PEM): setting smart_key.")],
    use_rsa: Annotated[bool, typer.Option("--rsa", help="Make an RSA key (RS384) and no EC key (ES384).")] = False,
) -> None:
    """Make the key by which FHIR servers know this client (SMART Backend Services), and print its public half (JWKS).

    A key that is there already is not made again; its public half is printed. It goes to the authorization server.

    Example: fhir-coder keys smart smart.pem > jwks.json
    """
    from fhir_coder.credentials.smart_key import load_key, make_key
    from fhir_coder.terminal import print_json

    try:
        make_key(file, use_rsa=use_rsa)
    except FileExistsError:
        pass
    except OSError as error:
        raise SettingsError(f"{file} cannot be written: {error.strerror}") from error
    print_json(load_key(file).jwks)


def _file(settings_file: Path | None) -> Path:
    path = Settings.load(settings_file).api_keys
    if path is None:
        raise SettingsError("setting api_keys: name the file of the keys, for the service and for this command alike")
    return path
