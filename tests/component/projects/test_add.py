import pytest
from sqlalchemy import select

from contexten_core.db import Database
from contexten_core.errors import ConfigurationError
from contexten_core.projects import store
from contexten_core.projects.add import add_repository, slug_of
from contexten_core.projects.models import ProjectConfigModel, ProjectStatus, RepositoryProvider


@pytest.mark.parametrize(
    ("full_name", "slug"), [("acme/cashbox", "acme-cashbox"), ("Acme/Cash.Box_2", "acme-cash-box-2"), ("a/.b", "a-b")]
)
def test_a_slug_is_the_name_in_small_letters_and_dashes(full_name: str, slug: str) -> None:
    assert slug_of(full_name) == slug


async def test_a_repository_gets_a_project(database: Database) -> None:
    async with database.transaction() as session:
        project, repository = await add_repository(session, full_name="Acme/Cashbox")

    assert (project.slug, project.name, project.full_name) == ("acme-cashbox", "Acme/Cashbox", "Acme/Cashbox")
    assert (project.status, project.total_tasks) == (ProjectStatus.ACTIVE, 0)
    assert (repository.owner, repository.repo_name, repository.full_name) == ("Acme", "Cashbox", "Acme/Cashbox")
    assert repository.clone_url == "https://github.com/Acme/Cashbox.git"
    assert repository.project_id == project.id
    async with database.reading() as session:
        assert await store.by_slug(session, "acme-cashbox") is not None
        assert await store.config(session, project.id) == {("git", "allow_local"): False}


async def test_a_repository_is_found_as_github_finds_it_without_regard_to_case(database: Database) -> None:
    async with database.transaction() as session:
        _, repository = await add_repository(session, full_name="Acme/Cashbox")
        found = await store.repository(session, provider=RepositoryProvider.GITHUB, full_name="aCME/cASHBOX")
        other = await store.repository(session, provider=RepositoryProvider.GITLAB, full_name="Acme/Cashbox")

    assert found is repository
    assert other is None


async def test_adding_it_again_changes_its_address_and_settings(database: Database) -> None:
    async with database.transaction() as session:
        project, repository = await add_repository(session, full_name="acme/cashbox", clone_url="/srv/cashbox.git")
        assert (await store.config(session, project.id))["git", "allow_local"] is True

        again, same = await add_repository(
            session,
            full_name="Acme/cashbox",
            clone_url="https://git.acme.example/cashbox.git",
            default_branch="trunk",
            config={("github", "api_url"): "https://ghe.acme.example/api/v3"},
        )
        config = await store.config(session, project.id)

    assert (again.id, same.id) == (project.id, repository.id)
    assert (same.clone_url, same.default_branch) == ("https://git.acme.example/cashbox.git", "trunk")
    assert config == {("git", "allow_local"): False, ("github", "api_url"): "https://ghe.acme.example/api/v3"}


async def test_a_setting_remembers_what_it_was_before(database: Database) -> None:
    async with database.transaction() as session:
        project, _ = await add_repository(session, full_name="acme/cashbox")
        for value in ("one", "other", "other"):
            await store.set_config(session, project_id=project.id, config_type="x", key="y", value=value)
            await session.flush()
        statement = select(ProjectConfigModel).where(ProjectConfigModel.config_type == "x")
        row = (await session.execute(statement)).scalar_one()

    assert (row.config_value, row.previous_value, row.version) == ("other", "one", 2)


@pytest.mark.parametrize("value", [None, False, 0, "", [], {"a": [1, None]}])
async def test_a_setting_may_have_any_value(database: Database, value: object) -> None:
    async with database.transaction() as session:
        project, _ = await add_repository(session, full_name="acme/cashbox", config={("x", "y"): value})

    async with database.reading() as session:
        assert (await store.config(session, project.id))["x", "y"] == value


async def test_two_repositories_whose_names_make_the_same_slug_are_two_projects(database: Database) -> None:
    async with database.transaction() as session:
        one, _ = await add_repository(session, full_name="acme-tools/cashbox")
        other, _ = await add_repository(session, full_name="acme/tools-cashbox")

    assert one.id != other.id
    assert one.slug != other.slug


@pytest.mark.parametrize(
    "full_name",
    ["cashbox", "acme/", "/cashbox", "acme/cash/box", "acme/cash box", "acme/cashbox\n", "ac\0me/x", "./..", "a" * 300],
)
async def test_what_is_not_owner_and_name_is_refused(database: Database, full_name: str) -> None:
    async with database.transaction() as session:
        with pytest.raises(ConfigurationError, match="is not the name of a repository") as caught:
            await add_repository(session, full_name=full_name)
        assert await store.newest(session, limit=1) == []

    assert caught.value.hint == "write owner/name"
