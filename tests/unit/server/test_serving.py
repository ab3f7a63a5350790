import resource

import pytest
from fastapi import FastAPI

from contexten.server.serving import make_server
from contexten_core.settings import Settings


class Limits:
    """The limits of open files that this process has, soft and hard."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def get(self, _: int) -> tuple[int, int]:
        return self.now

    def set(self, _: int, limits: tuple[int, int]) -> None:
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "then", "connections"),
    [
        (20_000, 20_000, 20_000, 2_000),
        (1_024, 20_000, 2_506, 2_000),
        (1_024, resource.RLIM_INFINITY, 2_506, 2_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, 2_000),
        (1_024, 1_024, 1_024, 682),
        (100, 100, 100, 10),
    ],
)
def test_a_process_may_open_as_many_files_as_its_connections_need_or_takes_fewer_connections(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, then: int, connections: int
) -> None:
    limits = Limits(soft, hard)
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)
    app = FastAPI()
    app.state.settings = Settings(webhook_connections=2_000)
    config = make_server(app).config
    assert limits.now == (then, hard)
    assert config.http.keywords["lobby"].most == connections  # type: ignore[union-attr]


def test_options_of_uvicorn_win_over_ours() -> None:
    app = FastAPI()
    app.state.settings = Settings()
    assert make_server(app, timeout_keep_alive=7, log_level="critical").config.timeout_keep_alive == 7
