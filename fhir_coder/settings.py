"""One validated settings object. A wrong value stops the program with the setting's name.

Each setting can be given as an argument, as an environment variable (`FHIR_CODER_` and the name in
capitals) or in a TOML file named by `FHIR_CODER_SETTINGS` or handed to `Settings.load`.
The order of precedence is: argument, environment, file, default.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field, HttpUrl, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fhir_coder.errors import SettingsError


class Settings(BaseSettings):
    """All settings, with their defaults.

    Raises `SettingsError` (through `Settings.load`) when a value is wrong or a name is unknown.
    """

    model_config = SettingsConfigDict(env_prefix="FHIR_CODER_", extra="forbid", frozen=True)

    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("fhir-coder")),
        description="Folder of the concept store, its indexes and the inbox.",
    )

    encoder: str = Field(
        default="minilm",
        description="Encoder of the dense stage: 'minilm' (the embedded all-MiniLM-L6-v2), 'none', or a folder that "
        "holds a Hugging Face model.",
    )
    encoder_pooling: Literal["mean", "cls"] = Field(default="mean", description="How token vectors become one vector.")

    recogniser: str = Field(
        default="none",
        description="Trained recogniser of entities: 'embedded', 'none', or a folder that holds a Hugging Face token "
        "classifier (see 'fhir-coder train ner').",
    )

    min_confidence: float = Field(
        default=0.75, ge=0, le=1, description="Below this score no coding is chosen; the entity is left as text."
    )
    max_candidates: int = Field(default=5, ge=1, le=50, description="Ranked candidates per entity and code system.")

    max_note_chars: int = Field(
        default=1_000_000, ge=1, description="Longest note, in characters; one million is about 350 pages."
    )
    max_body_bytes: int = Field(default=50_000_000, ge=1, description="Largest HTTP body or MLLP message, in bytes.")

    ai_security_label: bool = Field(
        default=True, description="Mark every written resource with the AIAST security label in meta.security."
    )

    host: str = Field(default="127.0.0.1", description="Address the service listens on.")
    port: int = Field(default=8000, ge=0, le=65535, description="HTTP port; 0 takes a free one.")
    mllp_port: int = Field(default=2575, ge=0, le=65535, description="MLLP port; 0 takes a free one.")

    out: Path | None = Field(default=None, description="Folder that receives the coded resources as NDJSON.")
    server: HttpUrl | None = Field(default=None, description="Base URL of the FHIR server that receives the resources.")
    delivery_timeout: float = Field(default=30.0, gt=0, description="Seconds to wait for the FHIR server's answer.")

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
            raise SettingsError(f"setting {name}: {first['msg']} (see the table of settings in the README)") from error
