"""A Databricks workspace on loopback: serving endpoints and jobs, as far as mlkit asks for them.

A real HTTP server of the standard library that the unmodified databricks-sdk talks to. Its clock is the
number of looks: an update is IN_PROGRESS for as many GETs as the test says, so nothing sleeps. Faults are
scripted: an error with its headers, a connection that closes before or after the request was taken.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import threading
from collections import defaultdict, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from databricks.sdk.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "a-token-of-the-tests"  # noqa: S105 - of a server on loopback
USER = "runner@example.com"


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake
    """An answer other than 200."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status, self.headers = status, headers
        self.body = {"error_code": code, "message": message}


class VirtualClock(Clock):
    """Time that passes when somebody sleeps; remembers for how long each time."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, []

    def time(self) -> float:
        """Seconds since some time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


@dataclasses.dataclass
class Build:
    """How an update goes: for how many looks it is in progress, and why it fails, if it does."""

    looks: int = 1
    failure: str = ""
    state: str = "UPDATE_FAILED"


@dataclasses.dataclass
class Fault:
    """What happens to a request instead of an answer.

    `taken`: whether the server does what was asked for before the connection closes.
    """

    answer: Refusal | None = None
    taken: bool = False


class Endpoint:
    """A serving endpoint: the config that serves, and the one it is being updated to."""

    def __init__(self, name: str, clock: itertools.count) -> None:
        self.name, self._clock = name, clock
        self.config: dict[str, Any] | None = None
        self.pending: dict[str, Any] | None = None
        self.state, self.ready = "NOT_UPDATING", False
        self._build: Build | None = None

    def begin(self, config: dict[str, Any], build: Build) -> None:
        """Start an update."""
        version = (self.config or {}).get("config_version", 0) + 1
        self.pending = {**config, "config_version": version, "start_time": next(self._clock)}
        self.state, self._build = "IN_PROGRESS", dataclasses.replace(build)

    def look(self) -> dict[str, Any]:
        """What a GET shows; each one brings an update nearer to its end."""
        if self._build is not None:
            if self._build.looks > 0:
                self._build.looks -= 1
            else:
                self._end(self._build)
        return self.shown()

    def _end(self, build: Build) -> None:
        self._build = None
        if build.failure:
            self.state = build.state
            state = {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": build.failure}
            self.pending["served_entities"] = [
                {**one, "state": state} for one in self.pending["served_entities"]
            ]
            return
        state = {"deployment": "DEPLOYMENT_READY", "deployment_state_message": ""}
        kept = {name: value for name, value in self.pending.items() if name != "start_time"}
        self.config = {
            **kept,
            "served_entities": [{**one, "state": state} for one in kept["served_entities"]],
        }
        self.state, self.ready, self.pending = "NOT_UPDATING", True, None

    def shown(self) -> dict[str, Any]:
        """The endpoint as the API shows it."""
        state = {"config_update": self.state, "ready": "READY" if self.ready else "NOT_READY"}
        values = {"name": self.name, "id": f"id-{self.name}", "creator": USER, "state": state}
        values |= {"permission_level": "CAN_MANAGE"}
        if self.config:
            values["config"] = self.config
        if self.pending:
            values["pending_config"] = self.pending
        return values

    @property
    def serves(self) -> list[str]:
        """Versions that get traffic."""
        return [one["entity_version"] for one in (self.config or {}).get("served_entities", [])]


@dataclasses.dataclass
class Job:
    """A job with one task, and what its runs do: for how many looks they run, and what they raise."""

    job_id: int
    name: str
    parameters: tuple[str, ...] = ()
    looks: int = 1
    error: str = ""
    error_trace: str = ""
    result: str = "SUCCESS"
    life_cycle: str = "TERMINATED"


@dataclasses.dataclass
class Run:
    """A run of a job."""

    run_id: int
    job: Job
    given: dict[str, str]
    looks: int
    seen: int = 0

    @property
    def ended(self) -> bool:
        """Whether it was looked at often enough."""
        return self.seen > self.looks


class Workspace:
    """The server and all that it knows; a context manager."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.jobs: dict[int, Job] = {}
        self.runs: dict[int, Run] = {}
        self.missing: set[str] = set()
        self.user = {"userName": USER, "displayName": "The Runner"}
        self.builds: deque[Build] = deque()
        self.requests: list[tuple[str, str, Any]] = []
        self.before: dict[tuple[str, int], Callable[[], object]] = {}
        self._faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._tokens: dict[str, int] = {}
        self._numbers = itertools.count(101)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Its address."""
        host, port = self._server.server_address[:2]
        return f"http://{host}:{port}"

    def sent(self, method: str) -> list[Any]:
        """Bodies of the requests of a method, in order."""
        return [body for verb, _, body in self.requests if verb == method]

    def refuse(
        self, method: str, status: int, code: str, message: str = "no", *, times: int = 1, **headers
    ) -> None:
        """Answer the next requests of a method with an error."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults[method].extend([Fault(Refusal(status, code, message, **headers))] * times)

    def lose(self, method: str, *, taken: bool, times: int = 1) -> None:
        """Close the connection of the next requests, after they were taken or before."""
        self._faults[method].extend([Fault(taken=taken)] * times)

    def serve(self, name: str, *versions: str, model: str = "flight_delay", **fields: Any) -> Endpoint:
        """An endpoint that serves versions already, each with the same traffic."""
        made = self.endpoints[name] = Endpoint(name, self._numbers)
        entities = [
            {"name": f"e{v}", "entity_name": model, "entity_version": v, "workload_size": "Small",
             "scale_to_zero_enabled": True, **fields}
            for v in versions
        ]  # fmt: skip
        share = 100 // len(versions)
        routes = [{"served_model_name": f"e{v}", "traffic_percentage": share} for v in versions]
        made.begin({"served_entities": entities, "traffic_config": {"routes": routes}}, Build(0))
        made.look()
        return made

    def answer(self, method: str, target: str, body: Any, token: str | None) -> dict[str, Any] | None:
        """The JSON of an answer; None closes the connection."""
        path, query = urlsplit(target).path, dict(parse_qsl(urlsplit(target).query))
        if path == "/.well-known/databricks-config":
            raise Refusal(404, "ENDPOINT_NOT_FOUND", f"No API found for 'GET {path}'")
        with self._lock:
            self.requests.append((method, path, body))
            nth = sum(verb == method for verb, _, _ in self.requests)
        self.before.pop((method, nth), lambda: None)()  # unlocked: others may come in between
        with self._lock:
            if token != f"Bearer {TOKEN}":
                raise Refusal(
                    401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type."
                )
            fault = self._faults[method].popleft() if self._faults[method] else None
            if fault and fault.answer:
                raise fault.answer
            if fault and not fault.taken:
                return None
            done = self._route(method, path, query, body)
            return None if fault else done

    def _route(self, method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
        for verb, pattern, act in self._ROUTES:
            found = re.fullmatch(pattern, path)
            if verb == method and found:
                return act(self, body if method in {"PUT", "POST"} else query, *found.groups())
        raise Refusal(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")

    def _endpoint(self, name: str) -> Endpoint:
        if name not in self.endpoints:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Endpoint with name '{name}' does not exist.")
        return self.endpoints[name]

    def _get_endpoint(self, _: Any, name: str) -> dict[str, Any]:
        return self._endpoint(name).look()

    def _create_endpoint(self, body: Any) -> dict[str, Any]:
        if body["name"] in self.endpoints:
            raise Refusal(409, "RESOURCE_ALREADY_EXISTS", f"Endpoint '{body['name']}' already exists.")
        self._check(body["config"])
        made = self.endpoints[body["name"]] = Endpoint(body["name"], self._numbers)
        made.begin(body["config"], self._next_build())
        return made.shown()

    def _update_endpoint(self, body: Any, name: str) -> dict[str, Any]:
        made = self._endpoint(name)
        if made.state == "IN_PROGRESS":
            message = f"Endpoint '{name}' is in the process of being updated and cannot be updated again."
            raise Refusal(409, "RESOURCE_CONFLICT", message)
        self._check(body)
        made.begin(body, self._next_build())
        return made.shown()

    def _next_build(self) -> Build:
        return self.builds.popleft() if self.builds else Build()

    def _check(self, config: dict[str, Any]) -> None:
        for entity in config["served_entities"]:
            if "scale_to_zero_enabled" not in entity or "workload_size" not in entity:
                raise Refusal(
                    400, "INVALID_PARAMETER_VALUE", "scaleToZeroEnabled or workloadSize is undefined."
                )
            if not re.fullmatch("[1-9][0-9]*", entity["entity_version"]):
                raise Refusal(400, "INVALID_PARAMETER_VALUE", "A version is a number.")
            if entity["entity_version"] in self.missing:
                message = (
                    f"Model version {entity['entity_version']} of {entity['entity_name']} does not exist."
                )
                raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", message)
        names = {entity["name"] for entity in config["served_entities"]}
        routes = config["traffic_config"]["routes"]
        if (
            sum(one["traffic_percentage"] for one in routes) != 100
            or {r["served_model_name"] for r in routes} != names
        ):
            raise Refusal(
                400, "INVALID_PARAMETER_VALUE", "Traffic must add up to 100 over the served entities."
            )

    def _list_jobs(self, query: dict[str, str]) -> dict[str, Any]:
        wanted = query.get("name", "").lower()
        found = [job for job in self.jobs.values() if wanted in {"", job.name.lower()}]
        return {"jobs": [{"job_id": job.job_id, "settings": {"name": job.name}} for job in found]}

    def _run_now(self, body: Any) -> dict[str, Any]:
        job, token = self.jobs.get(body["job_id"]), body["idempotency_token"]
        if job is None:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST", f"Job {body['job_id']} does not exist.")
        if len(token) > 64:
            raise Refusal(400, "INVALID_PARAMETER_VALUE", "The idempotency token is too long.")
        given = body.get("job_parameters", {})
        if unknown := sorted(set(given) - set(job.parameters)):
            raise Refusal(400, "INVALID_PARAMETER_VALUE", f"Job {job.job_id} has no parameter {unknown[0]}.")
        if token not in self._tokens:
            number = self._tokens[token] = next(self._numbers)
            self.runs[number] = Run(number, job, given, job.looks)
        return {"run_id": self._tokens[token], "number_in_job": self._tokens[token]}

    def _get_run(self, query: dict[str, str]) -> dict[str, Any]:
        run = self.runs[int(query["run_id"])]
        run.seen += 1
        return self._shown(run)

    def _list_runs(self, query: dict[str, str]) -> dict[str, Any]:
        wanted = [run for run in self.runs.values() if run.job.job_id == int(query["job_id"])]
        if query.get("completed_only") == "true":
            wanted = [run for run in wanted if run.ended]
        wanted.sort(key=lambda run: -run.run_id)
        return {"runs": [self._shown(run) for run in wanted[: int(query.get("limit", 20))]]}

    def _shown(self, run: Run) -> dict[str, Any]:
        job = run.job
        state = {"life_cycle_state": "PENDING" if run.seen <= 1 else "RUNNING"}
        of_task = dict(state)
        if run.ended:
            failed = job.result != "SUCCESS"
            told = "Workload failed, see run output for details" if failed else ""
            of_task = {"life_cycle_state": "TERMINATED", "result_state": job.result, "state_message": told}
            state = {"life_cycle_state": job.life_cycle, "result_state": job.result}
            state["state_message"] = f"Task main failed with message: {told}." if failed else ""
        return {
            "run_id": run.run_id,
            "job_id": job.job_id,
            "state": state,
            "run_page_url": f"{self.url}/jobs/{job.job_id}/runs/{run.run_id}",
            "tasks": [{"task_key": "main", "run_id": run.run_id + 1000, "state": of_task}],
        }

    def _get_output(self, query: dict[str, str]) -> dict[str, Any]:
        if int(query["run_id"]) in self.runs:
            message = "Retrieving the output of runs with multiple tasks is not supported."
            raise Refusal(400, "INVALID_PARAMETER_VALUE", message)
        job = self.runs[int(query["run_id"]) - 1000].job
        return {"error": job.error, "error_trace": job.error_trace}

    def _me(self, _: dict[str, str]) -> dict[str, Any]:
        return {"id": "1", "active": True, **self.user}

    _ROUTES = (
        ("GET", r"/api/2\.0/preview/scim/v2/Me", _me),
        ("GET", r"/api/2\.0/serving-endpoints/([\w-]+)", _get_endpoint),
        ("POST", r"/api/2\.0/serving-endpoints", _create_endpoint),
        ("PUT", r"/api/2\.0/serving-endpoints/([\w-]+)/config", _update_endpoint),
        ("GET", r"/api/2\.2/jobs/list", _list_jobs),
        ("POST", r"/api/2\.2/jobs/run-now", _run_now),
        ("GET", r"/api/2\.2/jobs/runs/get", _get_run),
        ("GET", r"/api/2\.2/jobs/runs/list", _list_runs),
        ("GET", r"/api/2\.2/jobs/runs/get-output", _get_output),
    )


def _handler(workspace: Workspace) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer goes out in one piece; in two, the second waits for 40 ms

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, headers = 200, {}
            try:
                values = workspace.answer(self.command, self.path, body, self.headers.get("Authorization"))
            except Refusal as refusal:
                status, values, headers = refusal.status, refusal.body, refusal.headers
            if values is None:
                self.close_connection = True
                return
            text = json.dumps(values).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_PUT = do_POST = _serve  # noqa: N815 - names of the standard library

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    return Handler
