"""Which of a repository's webhooks are ours."""

import pytest

from contexten.server import webhooks
from contexten_core.events.recovery_sources import delivers_to_us

HERE = "https://contexten.acme.example"


@pytest.mark.parametrize(
    "url",
    [
        f"{HERE}/github/events",
        f"{HERE}/github/events/",
        f"{HERE}:443/webhooks/github",
        f"{HERE}/acme/shop/github/events",
        "https://CONTEXTEN.acme.example/github/events?from=github",
    ],
)
def test_a_webhook_at_our_public_address_is_ours(url: str) -> None:
    assert delivers_to_us(url, public_url=HERE)


@pytest.mark.parametrize(
    "url",
    [
        "https://ci.acme.example/github/events",
        "https://contexten.acme.example.evil.example/github/events",
        f"{HERE}:8443/github/events",
        f"{HERE}/linear/events",
        f"{HERE}/hooks/of/jenkins",
        f"{HERE}/a/b/c/github/events",
        HERE,
        "https://[nonsense/github/events",
        "https://contexten.acme.example:99999/github/events",
        "",
    ],
)
def test_any_other_is_not(url: str) -> None:
    assert not delivers_to_us(url, public_url=HERE)


@pytest.mark.parametrize("public_url", [None, "http://localhost:8000", "http://127.0.0.1:8000", "http://[::1]:8000"])
def test_where_no_address_is_known_that_github_could_reach_the_path_decides(public_url: str | None) -> None:
    assert delivers_to_us("https://a-tunnel.example/github/events", public_url=public_url)
    assert not delivers_to_us("https://a-tunnel.example/github-webhook/", public_url=public_url)


def test_a_public_address_may_have_a_path_of_its_own() -> None:
    assert delivers_to_us(f"{HERE}/contexten/github/events", public_url=f"{HERE}/contexten")
    assert not delivers_to_us(f"{HERE}/github/events", public_url=f"{HERE}/contexten")


def test_every_route_that_takes_githubs_deliveries_is_known() -> None:
    paths = [str(getattr(route, "path", "")) for route in webhooks.router.routes]
    github = [path.format(organisation="acme", repository="shop") for path in paths if "github" in path]
    assert len(github) >= 3
    assert all(delivers_to_us(f"{HERE}{path}", public_url=HERE) for path in github)
