"""Ports: the usual ones where they are free, others where they are not, and never one that somebody else has."""

import signal
import socket
from collections.abc import Callable

import httpx
import pytest

from tests.functional.stacks import HOST, ServedStack, eventually

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("e2e")]


def test_stacks_that_start_together_find_ports_of_their_own(make_stack: Callable[..., ServedStack]) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        first, second = make_stack(API_PORT=str(port)), make_stack(API_PORT=str(port))
        first.launch()
        second.launch()
        for each in (first, second):
            each.come_up()
            assert not each.has_ended, each.explain()
        for each in (first, second):
            assert "WARNING" not in each.err, "a part had to be started twice"
            eventually(lambda: "Serving." in each.err, within=30, what="the addresses")  # noqa: B023 - used at once
            assert f"Dashboard   {each.urls['web']}\n" in each.out
            assert f"Prefect UI  {each.urls['prefect']}\n" in each.out
        addresses = [*first.urls.values(), *second.urls.values(), f"http://{HOST}:{port}"]
        assert len(set(addresses)) == len(addresses)
        run = first.handled(first.send("ping", {"zen": "Approachable is better than simple."}))
        for each, status in ((first, 200), (second, 404)):
            shown = each.web.get(f"/api/runs/{run['id']}")
            in_prefect = httpx.get(f"{each.urls['prefect_api']}/flow_runs/{run['flow_run_id']}", trust_env=False)
            assert (shown.status_code, in_prefect.status_code) == (status, status)
        assert (first.end(signal.SIGTERM), second.end(signal.SIGINT)) == (0, 0)
