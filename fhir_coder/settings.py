"""One validated settings object. A wrong value stops the program with the setting's name.

Each setting can be given as an argument, as an environment variable (`FHIR_CODER_` and the name in
capitals) or in a TOML file named by `FHIR_CODER_SETTINGS` or handed to `Settings.load`.
The order of precedence is: argument, environment, file, default.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, HttpUrl, IPvAnyNetwork, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fhir_coder.errors import SettingsError


class Settings(BaseSettings):
    """All settings, with their defaults.

    Raises `SettingsError` (through `Settings.load`) when a value is wrong or a name is unknown.
    """

    model_config = SettingsConfigDict(env_prefix="FHIR_CODER_", extra="forbid", frozen=True)

    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("fhir-coder")),
        description="Folder of the concept store, its indexes and the delivery database.",
    )
    database: SecretStr | None = Field(
        default=None,
        description="URL of the database of what was taken in and what is to go out, such as "
        "postgresql://user:password@host/name; without it, the file delivery.sqlite in data_dir.",
    )

    encoder: str = Field(
        default="embedded",
        description="Encoder of the dense stage: 'embedded', 'minilm' (all-MiniLM-L6-v2, where it is installed), "
        "'none', or a folder that holds a Hugging Face model (see 'fhir-coder train encoder').",
    )
    encoder_pooling: Literal["mean", "cls", "last"] = Field(
        default="mean", description="How the vectors of a text's tokens become one: their mean, the first, or the last."
    )
    encoder_instruction: str = Field(
        default="", description="What the encoder reads before a description that is looked up, and not before names."
    )

    recogniser: str = Field(
        default="embedded",
        description="Trained recogniser of entities: 'embedded', 'none', or a folder that holds a Hugging Face token "
        "classifier (see 'fhir-coder train ner').",
    )

    database_key: SecretStr | None = Field(
        default=None,
        description="Key that encrypts delivery.sqlite (SQLCipher), 64 hexadecimal digits: openssl rand -hex 32.",
    )
    database_key_file: Path | None = Field(default=None, description="File that holds this key, in place of it.")

    date_order: Literal["month-first", "day-first"] = Field(
        default="month-first", description="How 3/4/2024 is read: as March 4 or April 3."
    )

    min_confidence: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Below this score no coding is chosen and the entity is left as text; without it, the threshold of "
        "each code system in mappings/coding/thresholds.csv.",
    )
    line_min_confidence: float = Field(
        default=0.5, ge=0, le=1, description="Below this score the line protocol answers no code."
    )
    max_candidates: int = Field(default=5, ge=1, le=50, description="Ranked candidates per entity and code system.")

    max_note_chars: int = Field(
        default=1_000_000, ge=1, description="Longest note, in characters; one million is about 350 pages."
    )
    max_body_bytes: int = Field(default=50_000_000, ge=1, description="Largest HTTP body or MLLP message, in bytes.")

    attachment_seconds: float = Field(
        default=30.0, gt=0, description="Seconds that the reading of one HTML, RTF, PDF or CDA attachment may take."
    )
    attachment_memory: int = Field(
        default=1024, ge=256, description="Megabytes of address space of a process that reads attachments."
    )
    attachment_readers: int = Field(default=2, ge=1, le=64, description="Processes that read attachments.")
    attachment_origins: list[HttpUrl] = Field(
        default_factory=list,
        description="Servers beside the FHIR server from which an attachment's url may be fetched, such as "
        "https://files.example.org; their addresses must be public.",
    )

    ai_security_label: bool = Field(
        default=True, description="Mark every written resource with the AIAST security label in meta.security."
    )

    host: str = Field(default="127.0.0.1", description="Address the service listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="HTTP port; 0 takes a free one.")

    base_url: HttpUrl | None = Field(
        default=None,
        description="URL at which callers reach the HTTP service, where it is not the one they connect to (a proxy).",
    )
    http_waiting: int = Field(
        default=100, ge=1, description="HTTP calls that may wait to be coded; more are answered 503 with Retry-After."
    )
    async_calls: int = Field(
        default=1000, ge=1, description="Asynchronous calls of $code-note kept at one time, with their answers."
    )
    async_hours: float = Field(
        default=24.0, gt=0, description="Hours after which an asynchronous call and its answer are deleted."
    )

    auth: Literal["auto", "none"] = Field(
        default="auto",
        description="'auto' asks HTTP callers for what is set up of api_keys, oidc_issuer and http_tls_client_ca, and "
        "without any of them serves this machine alone; 'none' lets everybody call.",
    )
    api_keys: Path | None = Field(
        default=None, description="File of the API keys that let callers in, made by 'fhir-coder keys add NAME'."
    )
    oidc_issuer: str | None = Field(
        default=None, description="Issuer (OpenID Connect) whose access tokens let callers in, as their iss has it."
    )
    oidc_audience: str | None = Field(
        default=None, description="What the issuer calls this service, in the tokens' aud."
    )
    oidc_jwks_url: str | None = Field(
        default=None, description="URL of the issuer's keys; none: found by its discovery document."
    )
    oidc_single_use: bool = Field(
        default=False, description="Accept each of the issuer's tokens once, by its jti (and none without one)."
    )
    http_tls_certificate: Path | None = Field(
        default=None, description="Certificate of the HTTP service, with its chain (PEM); with it, HTTPS is spoken."
    )
    http_tls_key: Path | None = Field(default=None, description="Private key of the HTTP service (PEM, unencrypted).")
    http_tls_client_ca: Path | None = Field(
        default=None, description="If given, HTTPS clients must have a certificate that this authority (PEM) issued."
    )
    http_tls_client_names: list[str] = Field(
        default_factory=list,
        description="Names (common or alternative) of client certificates that may call; none: all of the authority's.",
    )

    mllp: Literal["off", "tcp", "tls", "both"] = Field(
        default="tcp", description="Take HL7 v2 messages over MLLP: not at all, in clear text, with TLS, or both."
    )
    mllp_port: int = Field(default=2575, ge=0, le=65535, description="MLLP port; 0 takes a free one.")
    mllp_tls_port: int = Field(default=2576, ge=0, le=65535, description="MLLP port with TLS; 0 takes a free one.")
    mllp_tls_certificate: Path | None = Field(
        default=None, description="Certificate of MLLP, with its chain (PEM); 'fhir-coder certificates'."
    )
    mllp_tls_key: Path | None = Field(default=None, description="Private key of that certificate (PEM, unencrypted).")
    mllp_tls_client_ca: Path | None = Field(
        default=None, description="If given, senders over TLS must have a certificate that this authority (PEM) issued."
    )
    mllp_auth: Literal["auto", "none"] = Field(
        default="auto",
        description="'auto' takes MLLP, where host can be reached from elsewhere, from mllp_peers or with client "
        "certificates only, and does not start without; 'none' lets everybody send.",
    )
    mllp_peers: list[IPvAnyNetwork] = Field(
        default_factory=list,
        description="Addresses and networks that may connect to MLLP, such as 10.1.2.3 and 10.1.4.0/24; none: all.",
    )
    mllp_connections: int = Field(default=500, ge=1, description="MLLP connections at one time; more are turned away.")
    mllp_timeout: float = Field(
        default=30.0,
        gt=0,
        description="Seconds for the next megabyte of a message that has begun, and for a sender to read its answer.",
    )
    hl7v2_charset: str = Field(
        default="UNICODE UTF-8",
        description="Character set of HL7 v2 messages that state none in MSH-18, by its name in HL7 table 0211.",
    )
    hl7v2_adt: Literal["update", "create"] = Field(
        default="update",
        description="What ADT messages do with a Patient, Encounter or merged Patient that the server has: 'update' "
        "it, or only 'create' what is missing.",
    )
    hl7v2_validation: Literal["off", "refuse"] = Field(
        default="off",
        description="Whether HL7 v2 messages must have the structure of their type and version (judged by hl7apy, some "
        "50 messages a second).",
    )

    line_protocol: Literal["off", "tcp", "tls", "both"] = Field(
        default="off", description="Serve the line protocol: not at all, in clear text, with TLS, or both."
    )
    line_host: str = Field(default="127.0.0.1", description="Address the line protocol listens on.")
    line_port: int = Field(
        default=8901,
        ge=0,
        le=65531,
        description="First of five ports in clear text: ICD-10-CM, SNOMED CT, LOINC, RxNorm, HCPCS; 0 takes free ones.",
    )
    line_tls_port: int = Field(
        default=8911,
        ge=0,
        le=65531,
        description="First of the five ports with TLS, in the same order; 0 takes free ones.",
    )
    line_tls_certificate: Path | None = Field(
        default=None, description="Certificate of the line protocol, with its chain (PEM); 'fhir-coder certificates'."
    )
    line_tls_key: Path | None = Field(default=None, description="Its private key (PEM, unencrypted).")
    line_tls_client_ca: Path | None = Field(
        default=None, description="If given, clients over TLS must have a certificate that this authority (PEM) issued."
    )
    line_auth: Literal["auto", "none"] = Field(
        default="auto",
        description="'auto' serves the line protocol, where line_host can be reached from elsewhere, to line_peers or "
        "to client certificates only, and does not start without; 'none' lets everybody ask.",
    )
    line_peers: list[IPvAnyNetwork] = Field(
        default_factory=list,
        description="Addresses and networks that may connect to the line protocol, such as 10.1.2.3 and 10.1.4.0/24; "
        "none: all.",
    )
    line_workers: int = Field(
        default=1,
        ge=0,
        le=64,
        description="Processes that answer the line protocol, each with its own coder; 0 shares that of the service.",
    )
    line_queue: int = Field(
        default=10_000, ge=1, description="Lines that may wait; while so many do, nothing is read from clients."
    )
    line_connections: int = Field(
        default=500, ge=1, description="Connections of the line protocol at one time; more are turned away."
    )
    line_max_bytes: int = Field(default=4096, ge=32, description="Longest line, in bytes.")
    line_timeout: float = Field(
        default=30.0, gt=0, description="Seconds for the rest of a line, and for a client to read its answers."
    )

    log_format: Literal["json", "console"] = Field(
        default="json", description="How a service logs: 'json', an object on each line, or 'console', for people."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe events that are logged; of libraries, only warnings and errors are."
    )

    audit: Literal["none", "fhir"] = Field(
        default="none",
        description="Write AuditEvents (IHE BALP) of what is read and written: not at all, or to where it is read and "
        "written, through the outbox.",
    )
    preliminary: Literal["code", "wait"] = Field(
        default="code",
        description="What is delivered of a preliminary note: what it says, marked as preliminary where FHIR has a "
        "mark, or the document alone until it is final.",
    )
    enrich: Literal["off", "evidence", "all"] = Field(
        default="evidence",
        description="What is added to the FHIR server's chart where others wrote it: nothing; to a Condition that a "
        "note tells too, the note as evidence, instead of a second Condition; or also codes to entries with words "
        "only.",
    )
    out: Path | None = Field(default=None, description="Folder that receives the coded resources as NDJSON.")
    server: HttpUrl | None = Field(default=None, description="Base URL of the FHIR server that receives the resources.")
    delivery_timeout: float = Field(default=30.0, gt=0, description="Seconds to wait for the FHIR server's answer.")
    server_auth: Literal["none", "bearer", "basic", "smart"] = Field(
        default="none",
        description="How the FHIR server is shown who asks: not at all, by a token, a password, or SMART Backend "
        "Services.",
    )
    server_token: SecretStr | None = Field(default=None, description="Token of bearer.")
    server_token_file: Path | None = Field(
        default=None, description="File that holds the token of bearer; it is read for every request."
    )
    server_username: str | None = Field(default=None, description="Name of basic.")
    server_password: SecretStr | None = Field(default=None, description="Password of basic.")
    smart_client_id: str | None = Field(
        default=None, description="What the FHIR server's authorization server calls this client."
    )
    smart_key: Path | None = Field(
        default=None,
        description="Private key of SMART (PEM: EC on P-384 or RSA), made by 'fhir-coder keys smart FILE'.",
    )
    smart_scope: str = Field(default="system/*.cruds", description="Scopes that are asked for.")
    smart_token_url: HttpUrl | None = Field(
        default=None, description="Token endpoint; none: found by the server's .well-known/smart-configuration."
    )
    server_tls_ca: Path | None = Field(
        default=None,
        description="Authority (PEM) of the FHIR server's certificate; none: those that the system trusts.",
    )
    server_tls_certificate: Path | None = Field(
        default=None, description="Certificate (PEM) that is shown to the FHIR server (mutual TLS)."
    )
    server_tls_key: Path | None = Field(default=None, description="Its private key (PEM, unencrypted).")
    delivery_connections: int = Field(
        default=4, ge=1, le=64, description="Deliveries to the FHIR server at one time; of one patient, one at a time."
    )

    coding_workers: int = Field(
        default=1,
        ge=0,
        le=64,
        description="Processes that code what was taken in, so that a note that hangs or crashes takes down none but "
        "its own; 0 codes within the service.",
    )
    coding_seconds: float = Field(
        default=300.0, gt=0, description="Seconds that the coding of one note may take in such a process."
    )

    queue_max_items: int = Field(
        default=100_000, ge=1, description="Messages that may wait; then MLLP is read no more and HTTP answers 503."
    )
    queue_max_bytes: int = Field(
        default=4_000_000_000, ge=1, description="Bytes of messages that may wait, with the same effect."
    )
    queue_min_free_bytes: int = Field(
        default=500_000_000,
        ge=0,
        description="Free space on the disk of an SQLite database below which nothing is taken in, with the same "
        "effect.",
    )
    queue_retention_days: float = Field(
        default=7.0, ge=0, description="Days after which the content of messages that are done is removed."
    )

    subscribe: Literal["off", "rest-hook", "backport"] = Field(
        default="off",
        description="Have the FHIR server notify the service of new documents, by criteria (R4) or by a topic "
        "(Subscriptions Backport), and keep that Subscription alive.",
    )
    subscription_endpoint: HttpUrl | None = Field(
        default=None,
        description="URL under which the FHIR server reaches this service's /fhir/subscription, for 'subscribe'.",
    )
    subscription_criteria: str | None = Field(
        default=None,
        description="Which documents to be notified of, such as DocumentReference?category=clinical-note; none: "
        "all. With backport, a filter that the topic allows.",
    )
    subscription_topic: str | None = Field(
        default=None, description="Canonical URL of the FHIR server's topic for documents; backport only."
    )
    subscription_payload: Literal["empty", "id-only", "full-resource"] | None = Field(
        default=None,
        description="What notifications tell; none: id-only with backport, empty with rest-hook. Documents are read "
        "from the server in any case.",
    )
    subscription_secret: SecretStr | None = Field(
        default=None,
        min_length=16,
        description="Secret that the FHIR server sends with notifications (Authorization: Bearer); those without it "
        "are refused. None: any are taken.",
    )
    sweep_seconds: float = Field(
        default=60.0,
        ge=0,
        description="Seconds between searches for what lost notifications missed, once there is a Subscription; 0: "
        "only when a notification shows a gap.",
    )

    @classmethod
    def load(cls, file: Path | None = None, **given: Any) -> Settings:
        """Return the settings from `given`, the environment and the TOML `file`, in this order.

        Raises `SettingsError` when the file cannot be read or a value is wrong.
        """
        path = file or (Path(os.environ["FHIR_CODER_SETTINGS"]) if "FHIR_CODER_SETTINGS" in os.environ else None)
        from_file: dict[str, Any] = {}
        if path is not None:
            try:
                from_file = tomllib.loads(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise SettingsError(f"settings file {path}: {error}") from error
        in_environment = {name for name in cls.model_fields if f"FHIR_CODER_{name.upper()}" in os.environ}
        merged = {name: value for name, value in from_file.items() if name not in in_environment}
        merged |= {name: value for name, value in given.items() if value is not None}
        try:
            return cls(**merged)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            wrong = first["msg"] if name in cls.model_fields else f"there is no such setting{_meant(name)}"
            raise SettingsError(f"setting {name}: {wrong} (see the table of settings in the README)") from error


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """Return what is to be said of variables that are no setting but nearly one.

    Others that begin alike are nobody's fault: Kubernetes makes some for a service called "fhir-coder".
    """
    prefix = Settings.model_config["env_prefix"]
    names = (name.removeprefix(prefix).lower() for name in sorted(environment) if name.startswith(prefix))
    unknown = [name for name in names if name not in {*Settings.model_fields, "settings"}]
    return [
        f"{prefix}{name.upper()} is no setting and changes nothing{meant}"
        for name in unknown
        if (meant := _meant(name))
    ]


def _meant(name: str) -> str:
    near = get_close_matches(name, Settings.model_fields, n=1, cutoff=0.8)
    return f"; is {near[0]} meant?" if near else ""
