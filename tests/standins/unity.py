"""Databricks on loopback as far as MLflow asks: Unity Catalog's model registry, over a real MLflow server.

The registry is a stand-in that keeps Unity Catalog's rules: names of three levels in lowercase, no dots in
keys of tags, listings by name alone and without tags or aliases, versions that are ready only after some
looks, files of its own for every version. All that is about runs is passed on to a real server unchanged.
"""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_REGISTRY = "/api/2.0/mlflow/unity-catalog/"
_FILES, _FOLDERS = "/api/2.0/fs/files", "/api/2.0/fs/directories"
_NAME = re.compile(r"[a-z0-9_-]{1,255}(\.[a-z0-9_-]{1,255}){2}")
_BY_NAME = re.compile(r"name ?= ?'([^']+)'")
_PAGE = 2


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """An answer other than 200."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(message)
        self.status, self.body = status, {"error_code": code, "message": message}


class Unity:
    """The registry and its files.

    Attributes:
        models: Versions by the full name of their model.
        aliases: Number of the version by model and alias.
        files: Content by path.
        lost: Uploads to forget, by the end of their path.
        looks: How often a new version is pending when looked at.
        refused: Everything that Unity Catalog would not have answered.
    """

    def __init__(self, tracking: str) -> None:
        self.tracking = tracking
        self.models: dict[str, list[dict[str, Any]]] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.files: dict[str, bytes] = {}
        self.lost = ""
        self.looks = 1
        self.refused: list[str] = []

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def answer(self, verb: str, route: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What the registry says."""
        known = {
            "GET registered-models:is-databricks-sdk-models-artifact-repository-enabled": self._by_files,
            "POST registered-models/create": self._create_model,
            "GET registered-models/get": self._get_model,
            "POST model-versions/create": self._create_version,
            "POST model-versions/finalize": self._finalize,
            "POST model-versions/emit-lineage": lambda _: {},
            "GET model-versions/get": self._get,
            "GET model-versions/search": self._search,
            "POST registered-models/alias": self._set_alias,
            "GET registered-models/alias": self._by_alias,
        }
        if f"{verb} {route}" not in known:
            raise Refusal(400, "BAD_REQUEST", f"{verb} {route} is not supported")
        return known[f"{verb} {route}"](asked)

    def _by_files(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"is_databricks_sdk_models_artifact_repository_enabled": True}

    def _create_model(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        name = asked["name"]
        if not _NAME.fullmatch(name):
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"not a name of three levels: {name}")
        if name in self.models:
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS", name)
        self.models[name] = []
        return {"registered_model": {"name": name}}

    def _get_model(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._versions(asked["name"])
        return {"registered_model": {"name": asked["name"]}}

    def _create_version(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        tags = asked.get("tags", [])
        if bad := [tag for tag in tags if re.search(r"[.,\-=/: ]", tag["key"]) or len(tag["value"]) > 1000]:
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"tag {bad[0]['key']}")
        versions = self._versions(asked["name"])
        kept = {name: asked.get(name, "") for name in ("name", "source", "run_id")}
        version = {**kept, "version": str(len(versions) + 1), "tags": tags, "looks": self.looks}
        versions.append({**version, "status": "PENDING_REGISTRATION", "final": False})
        return {"model_version": _shown(versions[-1])}

    def _finalize(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        version = self._version(asked)
        version["final"] = True
        return {"model_version": _shown(version)}

    def _get(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        version = self._version(asked)
        version["looks"] -= version["final"]
        if version["looks"] < 0:
            version["status"] = "READY"
        return {"model_version": _shown(version)}

    def _search(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        named = _BY_NAME.fullmatch(asked.get("filter", ""))
        if named is None or "order_by" in asked:
            raise Refusal(400, "INVALID_PARAMETER_VALUE", "a listing is by name alone")
        first = int(asked.get("page_token") or 0)
        found = self._versions(named[1])
        following = {"next_page_token": str(first + _PAGE)} if len(found) > first + _PAGE else {}
        page = [{**_shown(version), "tags": []} for version in found[first : first + _PAGE]]
        return {"model_versions": page, **following}

    def _set_alias(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if self._version(asked)["status"] != "READY":
            raise Refusal(400, "INVALID_STATE", "the version is not ready")
        self.aliases[asked["name"], asked["alias"]] = asked["version"]
        return {}

    def _by_alias(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        number = self.aliases.get((asked["name"], asked["alias"]))
        if number is None:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", "no such alias")
        return {"model_version": _shown(self._version({"name": asked["name"], "version": number}))}

    def _versions(self, name: str) -> list[dict[str, Any]]:
        if name not in self.models:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"no model {name}")
        return self.models[name]

    def _version(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        for version in self._versions(asked["name"]):
            if version["version"] == str(asked["version"]):
                return version
        raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", "no such version")

    def listed(self, folder: str) -> list[dict[str, Any]]:
        """What lies in a folder of the files."""
        inside = [path.removeprefix(f"{folder}/") for path in self.files if path.startswith(f"{folder}/")]
        if not inside:
            raise Refusal(404, "NOT_FOUND", folder)
        return [
            {"path": f"{folder}/{name}", "name": name, "is_directory": f"{folder}/{name}" not in self.files}
            for name in sorted({path.split("/")[0] for path in inside})
        ]


def _shown(version: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in version.items() if name not in ("looks", "final")}


class _Server(ThreadingHTTPServer):
    """One port of the loopback."""

    def __init__(self, unity: Unity) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.unity = unity


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP for the registry, its files and the server behind."""

    server: _Server
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self._body()
        try:
            status, answer = 200, self._answer(body)
        except Refusal as refusal:
            status, answer = refusal.status, json.dumps(refusal.body).encode()
            if status == 400 and refusal.body["error_code"] != "RESOURCE_ALREADY_EXISTS":
                self.server.unity.refused.append(f"{self.command} {self.path}: {refusal}")
        except urllib.error.HTTPError as error:
            status, answer = error.code, error.read()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve  # noqa: N815 - the library's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def _answer(self, body: bytes) -> bytes:
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        if path.startswith(_REGISTRY):
            asked = json.loads(body) if body else dict(parse_qsl(parts.query))
            return json.dumps(
                self.server.unity.answer(self.command, path.removeprefix(_REGISTRY), asked)
            ).encode()
        if path.startswith(_FILES):
            return self._file(path.removeprefix(_FILES), body)
        if path.startswith(_FOLDERS):
            return json.dumps({"contents": self.server.unity.listed(path.removeprefix(_FOLDERS))}).encode()
        if not path.startswith("/api/2.0/mlflow/"):
            raise Refusal(404, "ENDPOINT_NOT_FOUND", path)
        return self._pass_on(body)

    def _file(self, path: str, body: bytes) -> bytes:
        if self.command == "PUT":
            if not (self.server.unity.lost and path.endswith(self.server.unity.lost)):
                self.server.unity.files[path] = body
            return b""
        if path not in self.server.unity.files:
            raise Refusal(404, "NOT_FOUND", path)
        return self.server.unity.files[path]

    def _pass_on(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(  # noqa: S310 - our own loopback
            self.server.unity.tracking + self.path, data=body or None, method=self.command, headers=headers
        )
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
            return bytes(answer.read())

    def log_message(self, *_: object) -> None:
        """Say nothing."""
