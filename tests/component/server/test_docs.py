"""The page that describes the API, which needs nothing from elsewhere."""

import re

import httpx
import pytest

pytestmark = pytest.mark.parametrize("database_config", ["sqlite"], indirect=True)


async def test_everything_that_the_page_loads_is_ours(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"https?://|//[a-z]", page.text)
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 4
    for path in loaded:
        answer = await client.get(path)
        assert (answer.status_code, bool(answer.content)) == (200, True), path


async def test_the_page_may_run_our_scripts_alone(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["script-src"], policy["connect-src"]) == ("'none'", "'self'", "'self'")
    assert not re.search(r"<script>|<script [^>]*>[^<]|\son[a-z]+=", page.text)
    assert page.headers["x-content-type-options"] == "nosniff"


async def test_a_file_that_the_page_does_not_have(client: httpx.AsyncClient) -> None:
    for name in ("nothing.js", "..%2f..%2fpyproject.toml", "__init__.py"):
        assert (await client.get(f"/docs/assets/{name}")).status_code == 404


async def test_the_document_is_the_applications_own(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert "/api/tasks" in document["paths"]
