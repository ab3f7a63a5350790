import pytest

from deployments.succession import WORKER_NAME_VARIABLE, new_worker_name, worker_name


def test_a_worker_is_told_its_name_once(monkeypatch: pytest.MonkeyPatch) -> None:
    name = new_worker_name()
    monkeypatch.setenv(WORKER_NAME_VARIABLE, name)

    assert worker_name() == name
    assert worker_name() is None, "what it starts does not succeed it"


def test_each_supervisor_has_a_name_of_its_own() -> None:
    assert len({new_worker_name() for _ in range(100)}) == 100
