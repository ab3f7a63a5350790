"""What GitHub is answered, over HTTP, and what is stored of it."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from contexten.emulators.sender import sign_github
from tests.functional.stacks import LARGEST_PAYLOAD, PROBLEM, SECRET, Repositories, ServedStack

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


def test_a_signed_delivery_is_accepted_and_stored(stack: ServedStack) -> None:
    body, delivery = a_body(), str(uuid4())
    answer = stack.post(body, event="ping", headers={"X-GitHub-Delivery": delivery})
    assert answer.status_code == 202
    assert set(answer.json()) == {"status", "event_id"}
    assert answer.json()["status"] == "accepted"
    event = stack.get(f"/api/events/{answer.json()['event_id']}")
    assert (event["delivery_id"], event["event_type"], event["payload"]) == (delivery, "ping", json.loads(body))


def test_the_same_body_is_a_duplicate_whatever_its_delivery_id(stack: ServedStack) -> None:
    body = a_body()
    first, second, third = stack.post(body), stack.post(body), stack.post(body, event="issues")
    assert first.status_code == 202
    for again in (second, third):
        assert again.status_code == 200
        assert again.json() == {
            "status": "duplicate",
            "event_id": first.json()["event_id"],
            "reason": "this signed body was received before",
        }
    stack.handled(first.json()["event_id"])
    assert len(stack.get(f"/api/events/{first.json()['event_id']}")["runs"]) == 1


@pytest.mark.parametrize("path", ["/webhooks/github", "/octo/thermometer/github/events"])
def test_the_other_addresses_of_the_route_take_deliveries_too(stack: ServedStack, path: str) -> None:
    body = a_body()
    headers = {"Content-Type": "application/json", "X-GitHub-Event": "ping"}
    headers["X-Hub-Signature-256"] = sign_github(SECRET, body)
    assert stack.web.post(path, content=body, headers=headers).status_code == 202


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        sign_github("another secret of sixteen or more", b"{}"),
        sign_github(SECRET, b"another body"),
        "sha1=" + "0" * 40,
        "sha256=\u00e9",
    ],
    ids=["none", "empty", "bare", "zeros", "secret", "body", "sha1", "letters"],
)
def test_what_its_sender_did_not_sign_is_refused_and_not_stored(stack: ServedStack, signature: str | None) -> None:
    delivery = str(uuid4())
    headers = {"X-GitHub-Delivery": delivery}
    if signature is not None:
        headers["X-Hub-Signature-256"] = signature
    answer = stack.web.post(
        "/github/events",
        content=a_body(),
        headers=httpx.Headers({**A_PUSH, **headers}, encoding="utf-8"),
    )
    assert_refused(answer, status=401, code="signature")
    assert_not_stored(stack, delivery)


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[1, 2]", b'"text"', b"null", b'{"a": NaN}', b"\xff\xfe", b"[" * 50_000, b'{"a":' * 500],
    ids=["empty", "words", "list", "text", "null", "nan", "bytes", "brackets", "depth"],
)
def test_a_signed_body_that_is_no_json_object_is_parked(stack: ServedStack, body: bytes) -> None:
    answer = stack.post(body, headers={"X-GitHub-Delivery": str(uuid4())})

    assert answer.status_code == 202, answer.text
    assert answer.json()["reason"].startswith("the body is ")
    event = stack.web.get(f"/api/events/{answer.json()['event_id']}").json()
    assert (event["status"], event["parked_at"] is not None) == ("failed", True)


@pytest.mark.parametrize("event", ["", "No Event", "x" * 100, "push\u00e9"])
def test_a_delivery_without_a_proper_event_type_is_malformed(stack: ServedStack, event: str) -> None:
    body = a_body()
    headers = {**A_PUSH, "X-Hub-Signature-256": sign_github(SECRET, body), "X-GitHub-Event": event}
    answer = stack.web.post("/github/events", content=body, headers=httpx.Headers(headers, encoding="utf-8"))
    assert_refused(answer, status=400, code="malformed_payload")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_another_content_type_is_not_supported(stack: ServedStack, content_type: str) -> None:
    delivery = str(uuid4())
    answer = stack.post(a_body(), headers={"Content-Type": content_type, "X-GitHub-Delivery": delivery})
    assert_refused(answer, status=415, code="unsupported_content_type")
    assert_not_stored(stack, delivery)


def test_a_body_that_announces_too_much_is_refused_before_it_arrives(stack: ServedStack) -> None:
    with connection(stack) as raw:
        raw.putrequest("POST", "/github/events")
        for name, value in A_PUSH.items():
            raw.putheader(name, value)
        raw.putheader("Content-Length", str(LARGEST_PAYLOAD + 1))
        raw.endheaders()
        assert_too_large(raw)


def test_a_body_that_grows_too_large_is_refused_while_it_arrives(stack: ServedStack) -> None:
    with connection(stack) as raw:
        raw.putrequest("POST", "/github/events")
        for name, value in A_PUSH.items():
            raw.putheader(name, value)
        raw.putheader("Transfer-Encoding", "chunked")
        raw.endheaders()
        piece = b"x" * (LARGEST_PAYLOAD // 4)
        for _ in range(5):
            raw.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        assert_too_large(raw)


def test_the_largest_body_is_accepted(stack: ServedStack) -> None:
    start = json.dumps({"zen": str(uuid4()), "filling": ""}).encode()
    body = start[:-2] + b"x" * (LARGEST_PAYLOAD - len(start)) + start[-2:]
    assert len(body) == LARGEST_PAYLOAD
    answer = stack.post(body, event="ping")
    assert answer.status_code == 202
    assert stack.handled(answer.json()["event_id"])["status"] == "ignored"


@pytest.mark.parametrize(
    "start",
    [b"POST /github/events HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n", b"nonsense\r\n\r\n"],
    ids=["length", "nonsense"],
)
def test_what_is_no_http_gets_a_client_error(stack: ServedStack, start: bytes) -> None:
    with socket.create_connection((stack.web.base_url.host, stack.web.base_url.port or 80), timeout=10) as raw:
        raw.sendall(start)
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/github/events", 405, "method_not_allowed"),
        ("DELETE", "/github/events", 405, "method_not_allowed"),
        ("POST", "/nothing/here/at/all", 404, "not_found"),
    ],
)
def test_other_methods_and_paths_get_the_same_shape_of_error(
    stack: ServedStack, method: str, path: str, status: int, code: str
) -> None:
    assert_refused(stack.web.request(method, path), status=status, code=code)


def test_an_unknown_repository_is_ignored_with_the_reason(stack: ServedStack, repositories: Repositories) -> None:
    run = stack.handled(stack.push(repositories.passing, name="somebody/else"))
    assert_ignored(run, reason="no project has the repository somebody/else; `contexten projects add` adds one")


def test_an_event_that_no_prompt_is_for_is_ignored_with_the_reason(
    stack: ServedStack, repositories: Repositories
) -> None:
    run = stack.handled(stack.pull_request(repositories.passing, 13, "closed"))
    assert_ignored(run, reason=run["reason"])
    assert "prompt" in run["reason"]
    (candidate,) = [each for each in run["explanation"]["candidates"] if each["slug"] == "octo-thermometer-checks"]
    assert [each["field"] for each in candidate["conditions"] if not each["holds"]] == ["event.action"]


def test_a_ping_without_a_repository_is_ignored_with_the_reason(stack: ServedStack) -> None:
    run = stack.handled(stack.send("ping", {"zen": "Mind your words.", "hook_id": 1}))
    assert_ignored(run, reason="the ping event names no repository")


A_PUSH = {"Content-Type": "application/json", "X-GitHub-Event": "push"}


def a_body() -> bytes:
    return json.dumps({"zen": f"Speak like a human. {uuid4()}"}).encode()


@contextmanager
def connection(stack: ServedStack) -> Iterator[http.client.HTTPConnection]:
    raw = http.client.HTTPConnection(stack.web.base_url.host, stack.web.base_url.port, timeout=10)
    try:
        yield raw
    finally:
        raw.close()


def assert_too_large(raw: http.client.HTTPConnection) -> None:
    answer = raw.getresponse()
    assert answer.status == 413
    problem = json.loads(answer.read())
    assert problem["code"] == "payload_too_large"
    assert str(LARGEST_PAYLOAD) in problem["message"]


def assert_refused(answer: httpx.Response, *, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert set(problem) == PROBLEM
    assert problem["code"] == code
    assert problem["message"]


def assert_not_stored(stack: ServedStack, delivery: str) -> None:
    newest = stack.get("/api/events", limit=50)["items"]
    assert delivery not in [event["delivery_id"] for event in newest]


def assert_ignored(run: dict[str, Any], *, reason: str) -> None:
    assert (run["status"], run["reason"]) == ("ignored", reason)
    assert (run["event"]["status"], run["event"]["outcome"]) == ("skipped", "ignored")
    assert run["event"]["reason"] == reason
    assert run["task"] is None
    assert run["effects"] == []
