"""Who is told of an alarm."""

from __future__ import annotations

import re
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from mlkit.errors import ConfigError
from mlkit.spec import Spec
from mlkit.targets.forms import VARIABLE, Texts, check_form

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Alert(Spec):
    """What is started or called when a check finds something; it gets the report as JSON.

    Attributes:
        command: A program and its arguments; no shell reads them. The report comes on standard input.
        url: Where the report is posted: https, or http on this machine.
        url_variable: Environment variable that holds the address, where the address itself is a secret.
        timeout_seconds: How long either may take.
    """

    command: Texts = ()
    url: str | None = None
    url_variable: str | None = None
    timeout_seconds: int = Field(default=10, ge=1, le=300)

    @model_validator(mode="after")
    def _forms(self) -> Self:
        check_form(self.url_variable, VARIABLE, "url_variable", "the name of an environment variable")
        if self.url is not None:
            check_address(self.url, path="url")
        if self.url and self.url_variable:
            message = "the address stands here or in a variable, not both"
            raise ConfigError("CFG042", message, path="url_variable", fix="keep one of them")
        return self


def check_address(url: str, *, path: str) -> None:
    """Refuse an address that a report must not be sent to: not https, unless it is this machine.

    Raises:
        ConfigError: CFG009.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    fits = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    plain = not (parts.username or parts.password or parts.fragment)
    if not host or not fits or not plain or re.search(r"\s", url):
        message = "expected an https address, or http on this machine, without a user or password"
        raise ConfigError("CFG009", message, path=path, fix="e.g. https://alerts.example.com/mlkit")
