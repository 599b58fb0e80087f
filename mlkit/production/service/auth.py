"""Who may ask: bearer tokens in two scopes, from the environment or from files, several at a time.

To change a token, add the new one, move the clients, and remove the old one. Without tokens anybody may
ask, so a service without them listens on this machine only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import re
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mlkit.errors import SecurityError
from mlkit.production.service.answers import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlkit.production.service.limits import Settings

SERVE_TOKENS, ADMIN_TOKENS = "MLKIT_SERVE_TOKENS", "MLKIT_ADMIN_TOKENS"
_FILE = "_FILE"  # added to a variable's name: the path of a file with one token a line
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
_BEARER = b"bearer "
_MAKE_ONE = "python -c 'import secrets; print(secrets.token_urlsafe(32))'"


@dataclasses.dataclass(frozen=True, repr=False)
class Tokens:
    """Digests of the tokens of both scopes; the tokens themselves are not kept.

    Attributes:
        serve: May ask for predictions.
        admin: May do that, and refresh the model.
    """

    serve: tuple[bytes, ...] = ()
    admin: tuple[bytes, ...] = ()

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Tokens of ``MLKIT_SERVE_TOKENS`` and ``MLKIT_ADMIN_TOKENS``, or of the files ``..._FILE`` names.

        Raises:
            SecurityError: A token is too short to be safe, or a file cannot be read (SEC020).
        """
        return cls(_digests(environment, SERVE_TOKENS), _digests(environment, ADMIN_TOKENS))

    def check_bind(self, settings: Settings) -> None:
        """Refuse to listen to other machines without tokens.

        Raises:
            SecurityError: There are none (SEC021).
        """
        if not settings.is_loopback and not self.serve:
            message = f"on {settings.host} other machines can connect, and no token is asked for"
            fix = f"set {SERVE_TOKENS}, e.g. to the output of: {_MAKE_ONE}; or listen on 127.0.0.1"
            raise SecurityError("SEC021", message, path="host", fix=fix)

    def check_serve(self, header: bytes | None) -> None:
        """Let a request for predictions pass.

        Raises:
            RefusedError: It has no token, or not one of these (NET035).
        """
        if self.serve and not _known(header, (*self.serve, *self.admin)):
            raise _unknown()

    def check_admin(self, header: bytes | None) -> None:
        """Let a request to the administration pass.

        Raises:
            RefusedError: It has no token that is known (NET035), or one of the other scope (NET036).
        """
        if not (self.serve or self.admin) or (self.admin and _known(header, self.admin)):
            return
        if not _known(header, self.serve):
            raise _unknown()
        message = "this token is for predictions only"
        raise RefusedError("NET036", message, path="Authorization", fix=f"use one of {ADMIN_TOKENS}")


def _unknown() -> RefusedError:
    message = "expected a bearer token that the service knows"
    return RefusedError("NET035", message, path="Authorization", fix="Authorization: Bearer TOKEN")


def _known(header: bytes | None, digests: tuple[bytes, ...]) -> bool:
    if header is None or header[: len(_BEARER)].lower() != _BEARER:
        return False
    found = hashlib.sha256(header[len(_BEARER) :].strip()).digest()
    # Each is compared, whichever fits: the time says nothing of which or how many there are.
    return sum(hmac.compare_digest(found, digest) for digest in digests) > 0


def _digests(environment: Mapping[str, str], variable: str) -> tuple[bytes, ...]:
    text = environment.get(variable, "").replace(",", "\n")
    if file := environment.get(variable + _FILE):
        text += "\n" + _content(file, variable + _FILE)
    tokens = [line.strip() for line in text.splitlines() if line.strip()]
    if not all(map(_TOKEN.fullmatch, tokens)):
        message = "expected tokens of 16 to 512 letters, digits and ._~+/=-, found another one"
        raise SecurityError("SEC020", message, path=variable, fix=_MAKE_ONE)
    return tuple(hashlib.sha256(token.encode()).digest() for token in dict.fromkeys(tokens))


def _content(file: str, variable: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        message = "the file of tokens cannot be read"
        raise SecurityError("SEC020", message, path=variable, fix="one token a line, UTF-8") from exc
