"""Mirrors over HTTP, from a server on this machine that asks for a token and can fail in many ways."""

import base64
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest

from contexten_core.errors import GitError
from contexten_core.execution.git import GitMirrors

if TYPE_CHECKING:
    from tests.component.execution.conftest import Origin

TOKEN = "ghp_planted0123456789"
ENCODED = base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()


class GitServer(BaseHTTPRequestHandler):
    """Serves the repositories below `root` with git's own CGI program, which here speaks only the old protocol."""

    root: ClassVar[Path]
    port: ClassVar[int]
    token: ClassVar[str | None]
    answer: ClassVar[tuple[int, str] | None]
    seen: ClassVar[list[str]]

    def do_GET(self) -> None:
        self._note_processes()
        if self.answer:
            self.send_response(self.answer[0])
            self.send_header("Location", self.answer[1])
            self.end_headers()
        elif self.token and self.headers["Authorization"] != f"Basic {self.token}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
        else:
            self._serve()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        pass

    def _note_processes(self) -> None:
        for process in psutil.process_iter(["name"]):
            if process.info["name"].startswith("git"):
                try:
                    self.seen.append(" ".join(process.cmdline()))
                    self.seen.extend(f"{name}={value}" for name, value in process.environ().items())
                except psutil.Error:
                    continue

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        finished = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(int(self.headers["Content-Length"] or 0)),
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_CONFIG_GLOBAL": os.devnull,
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "CONTENT_TYPE": self.headers["Content-Type"] or "",
                "HTTP_CONTENT_ENCODING": self.headers["Content-Encoding"] or "",
            },
            capture_output=True,
            check=True,
        )
        head, _, body = finished.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[type[GitServer]]:
    class Server(GitServer):
        root = tmp_path
        token = None
        answer = None
        seen: ClassVar[list[str]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as listening:
        threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01}).start()
        Server.port = listening.server_port
        yield Server
        listening.shutdown()


def _url(server: type[GitServer], name: str = "origin/.git") -> str:
    return f"http://127.0.0.1:{server.port}/{name}"


def test_the_token_goes_to_the_server_and_nowhere_else(
    origin: "Origin", mirrors: GitMirrors, server: type[GitServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = origin.commit({"a": "1"})
    server.token = ENCODED
    monkeypatch.setenv("CANARY", "planted-canary")
    mirror = mirrors.open(_url(server), TOKEN, allow_local=True)

    mirror.fetch(commit)

    assert mirror.head() == commit
    arguments = [line for line in server.seen if "git" in line and "=" not in line.split(" ")[0]]
    assert any("fetch" in line for line in arguments)
    assert not any(TOKEN in line or ENCODED in line for line in arguments)
    assert not any("planted-canary" in line for line in server.seen)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "mirrors").rglob("*") if path.is_file())
    assert TOKEN.encode() not in kept
    assert ENCODED.encode() not in kept


@pytest.mark.parametrize("credentials", [f"x-access-token:{TOKEN}", f"{TOKEN}:"])
def test_credentials_inside_the_url_are_treated_like_a_token(
    credentials: str, origin: "Origin", mirrors: GitMirrors, server: type[GitServer]
) -> None:
    commit = origin.commit({"a": "1"})
    server.token = base64.b64encode(credentials.encode()).decode()

    mirror = mirrors.open(_url(server).replace("://", f"://{credentials}@"), allow_local=True)
    mirror.fetch(commit)
    mirror.head()

    assert TOKEN not in mirror.url
    assert not any(TOKEN in line for line in server.seen)


def test_a_wrong_token_is_no_matter_of_patience(origin: "Origin", mirrors: GitMirrors, server: type[GitServer]) -> None:
    commit = origin.commit({"a": "1"})
    server.token = ENCODED

    for token in (None, "wrong"):
        with pytest.raises(GitError) as caught:
            mirrors.open(_url(server), token, allow_local=True).fetch(commit)
        assert not caught.value.transient
        assert "token" in (caught.value.hint or "")
        assert token is None or base64.b64encode(b"x-access-token:wrong").decode() not in caught.value.message


@pytest.mark.parametrize("token", ["a b", "a\nX-Header: b", "ümlaut"])
def test_a_token_that_is_none_is_refused(token: str, mirrors: GitMirrors) -> None:
    with pytest.raises(GitError, match="token") as caught:
        mirrors.open("https://github.com/octo/cat.git", token)

    assert token not in caught.value.message


@pytest.mark.parametrize("named", [True, False])
def test_a_server_that_refuses_commit_ids_is_asked_for_its_refs(
    origin: "Origin", mirrors: GitMirrors, server: type[GitServer], *, named: bool
) -> None:
    wanted = origin.commit({"a": "1"})
    origin.git("branch", "feature/x")
    other = origin.commit({"a": "2"})
    origin.commit({"a": "3"})
    origin.git("update-ref", "refs/pull/3/head", other)
    mirror = mirrors.open(_url(server), allow_local=True)

    mirror.fetch(wanted, ref="feature/x" if named else None)
    mirror.fetch(other, ref="gone" if named else None)

    assert len(mirror.files(wanted)) == len(mirror.files(other)) == 1
    with pytest.raises(GitError, match="no branch or pull request leads to it") as caught:
        mirror.fetch("12" * 20, ref="feature/x" if named else None)
    assert not caught.value.transient


@pytest.mark.parametrize(("status", "transient"), [(500, True), (503, True), (429, True), (403, False), (404, False)])
def test_the_servers_status_decides_whether_to_try_again(
    status: int, mirrors: GitMirrors, server: type[GitServer], *, transient: bool
) -> None:
    server.answer = (status, "")

    with pytest.raises(GitError) as caught:
        mirrors.open(_url(server), allow_local=True).fetch("a" * 40)

    assert caught.value.transient is transient
    assert caught.value.hint


def test_a_redirect_is_not_followed(mirrors: GitMirrors, server: type[GitServer]) -> None:
    server.answer = (301, f"{_url(server, 'moved/.git')}/info/refs?service=git-upload-pack")

    with pytest.raises(GitError) as caught:
        mirrors.open(_url(server), TOKEN, allow_local=True).fetch("a" * 40)

    assert "moved" in (caught.value.hint or "")


def test_nobody_listening_is_transient(mirrors: GitMirrors) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        mirror = mirrors.open(f"http://127.0.0.1:{free.getsockname()[1]}/a", allow_local=True)

        with pytest.raises(GitError) as caught:
            mirror.head()

    assert caught.value.transient


def test_a_server_that_never_answers_costs_only_the_timeout(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        mirror = GitMirrors(tmp_path / "mirrors", timeout_seconds=0.5).open(url, allow_local=True)
        started = time.monotonic()

        with pytest.raises(GitError, match=r"did not finish within 0\.5 s") as caught:
            mirror.head()

    assert caught.value.transient
    assert time.monotonic() - started < 60
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline", "status"])]
    assert not [arguments for arguments in running if url in arguments]
