import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import httpx
import pytest

from contexten.emulators.github import create_github_emulator, run_emulator
from contexten.emulators.recorder import Fault
from contexten.emulators.serving import run_app
from contexten_core.errors import StackError

COMMAND = [sys.executable, "-m", "contexten.emulators.github"]


async def open_connection(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    address = urlsplit(url)
    return await asyncio.open_connection(address.hostname, address.port)


async def test_it_stops_within_two_seconds_whatever_is_under_way() -> None:
    async with run_emulator() as emulator:
        emulator.recorder.queue_fault(Fault(delay_seconds=60))
        delayed, delayed_writer = await open_connection(emulator.url)
        delayed_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        half_sent, half_sent_writer = await open_connection(emulator.url)
        half_sent_writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        idle, idle_writer = await open_connection(emulator.url)
        async with asyncio.timeout(10):
            while not emulator.recorder.requests:  # noqa: ASYNC110 - the emulator offers no event to wait for
                await asyncio.sleep(0.01)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 20  # not the 60 s of a hung connection
    for reader, writer in [(delayed, delayed_writer), (half_sent, half_sent_writer), (idle, idle_writer)]:
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


async def test_it_leaves_signal_handlers_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with run_emulator():
        assert signal.getsignal(signal.SIGTERM) is before


async def test_an_error_inside_the_context_comes_out_and_the_port_is_free_again() -> None:
    with pytest.raises(ZeroDivisionError):
        async with run_emulator() as emulator:
            raise ZeroDivisionError
    async with run_emulator(port=urlsplit(emulator.url).port or 0) as again:
        assert again.url == emulator.url


async def test_a_taken_port_is_named() -> None:
    async with run_emulator() as emulator:
        port = urlsplit(emulator.url).port or 0
        with pytest.raises(StackError, match=f"cannot listen on 127.0.0.1:{port}"):
            async with run_emulator(port=port):
                pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_says_when_it_is_ready_and_stops_on_a_signal(number: signal.Signals) -> None:
    ready_reader, ready_writer = os.pipe()
    environment = os.environ | {"CONTEXTEN_READY_FD": str(ready_writer)}
    with subprocess.Popen(
        COMMAND, env=environment, pass_fds=[ready_writer], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        os.close(ready_writer)
        with os.fdopen(ready_reader) as ready:
            told = ready.read()
        assert program.stdout is not None
        assert program.stdout.readline().decode() == told
        assert httpx.get(json.loads(told)["url"], trust_env=False).status_code == 200
        stopping = time.monotonic()
        program.send_signal(number)
        _, stderr = program.communicate(timeout=10)
    assert time.monotonic() - stopping < 20
    assert (program.returncode, stderr) == (0, b"")


@pytest.mark.parametrize("descriptor", ["x", "-1", "99999"])
def test_a_ready_descriptor_that_is_none_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], descriptor: str
) -> None:
    monkeypatch.setenv("CONTEXTEN_READY_FD", descriptor)
    assert run_app(create_github_emulator(), name="emulator", arguments=[]) == 1
    assert f"CONTEXTEN_READY_FD='{descriptor}' cannot be written to" in capsys.readouterr().err


def test_the_program_says_why_it_cannot_serve() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        finished = subprocess.run(
            [*COMMAND, "--port", str(port)], capture_output=True, text=True, timeout=30, check=False
        )
    assert (finished.returncode, finished.stdout) == (1, "")
    assert "a free port, or port 0 for any" in finished.stderr
    assert "Traceback" not in finished.stderr
