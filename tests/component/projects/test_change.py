"""Projects, repositories and settings: made, changed, listed and removed; what is wrong is refused by its name."""

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text

from contexten_core.db import Database
from contexten_core.db.paging import Page
from contexten_core.errors import ConfigurationError, ConflictError, InvalidInputError
from contexten_core.events.models import EventModel, EventProvider, EventStatus
from contexten_core.inputs import RowInput, checked
from contexten_core.projects import store
from contexten_core.projects.change import (
    create_project,
    create_repository,
    delete_project,
    delete_project_config,
    delete_repository,
    project_config,
    set_project_config,
    update_project,
    update_repository,
)
from contexten_core.projects.inputs import (
    ProjectConfigSet,
    ProjectCreate,
    ProjectUpdate,
    RepositoryCreate,
    RepositoryUpdate,
)
from contexten_core.projects.models import (
    ProjectConfigModel,
    ProjectModel,
    ProjectStatus,
    RepositoryModel,
    RepositoryProvider,
)
from contexten_core.security.encryption import Vault

NOBODY = UUID("ffffffff-ffff-4fff-bfff-ffffffffffff")
VAULT = Vault(secret="a-secret-key-of-the-tests", key_file=Path("/nowhere/encryption-key"))
SECRET = "ghp_the-token-that-nobody-may-read"


async def add(database: Database, **fields: Any) -> ProjectModel:
    async with database.transaction() as session:
        project, _ = await create_project(session, checked(ProjectCreate, {"name": "Cashbox"} | fields))
    return project


async def add_repository(database: Database, project: ProjectModel, **fields: Any) -> RepositoryModel:
    given = {"project_id": project.id, "provider": "github", "full_name": "acme/cashbox"} | fields
    async with database.transaction() as session:
        return await create_repository(session, checked(RepositoryCreate, given))


async def put(database: Database, project_id: UUID, value: Any, **fields: Any) -> ProjectConfigModel:
    given = {"config_type": "github", "config_key": "token", "config_value": value} | fields
    async with database.transaction() as session:
        return await set_project_config(session, VAULT, project_id, checked(ProjectConfigSet, given))


async def test_a_project_gets_a_slug_of_its_name_and_can_be_read_again(database: Database) -> None:
    made = await add(database, name="My Project", description="What it is", metadata={"a": [1, None]}, tags=["x"])

    async with database.reading() as session:
        project = await store.get_project(session, made.id)

    assert project is not None
    row = json.loads(json.dumps(project.to_dict()))
    assert (row["slug"], row["status"], row["default_branch"]) == ("my-project", "active", "main")
    assert (row["description"], row["metadata"], row["tags"]) == ("What it is", {"a": [1, None]}, ["x"])
    assert (row["total_tasks"], row["completed_tasks"], row["failed_tasks"]) == (0, 0, 0)
    assert row == json.loads(json.dumps(made.to_dict()))


async def test_a_project_is_announced_in_the_transaction_that_makes_it(database: Database) -> None:
    async with database.transaction() as session:
        project, event = await create_project(session, checked(ProjectCreate, {"name": "Cashbox"}), held_by="me")

    async with database.reading() as session:
        stored = await session.get_one(EventModel, event.id)
    assert (stored.event_type, stored.provider) == ("project_created", EventProvider.SYSTEM)
    assert (stored.status, stored.lease_owner) == (EventStatus.PROCESSING, "me")
    assert stored.payload == {"project_id": str(project.id), "project_data": project.to_dict()}
    assert stored.project_id == project.id


async def test_a_project_that_is_rolled_back_is_not_announced(database: Database) -> None:
    async def create_and_give_up() -> None:
        async with database.transaction() as session:
            await create_project(session, checked(ProjectCreate, {"name": "Cashbox"}))
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await create_and_give_up()

    async with database.reading() as session:
        for model in (ProjectModel, EventModel):
            assert (await session.execute(select(func.count()).select_from(model))).scalar_one() == 0


async def test_a_slug_that_is_taken_is_a_conflict_and_the_transaction_goes_on(database: Database) -> None:
    await add(database, slug="cashbox")

    async with database.transaction() as session:
        with pytest.raises(ConflictError, match="slug: 'cashbox' is taken"):
            await create_project(session, checked(ProjectCreate, {"name": "Another", "slug": "cashbox"}))
        other, _ = await create_project(session, checked(ProjectCreate, {"name": "Another"}))

    async with database.reading() as session:
        assert await store.get_project(session, other.id) is not None


async def test_of_20_who_want_the_same_slug_at_once_one_gets_it(database: Database) -> None:
    given = checked(ProjectCreate, {"name": "Cashbox", "slug": "cashbox"})
    ready = asyncio.Barrier(20)

    async def create() -> str:
        await ready.wait()
        try:
            async with database.transaction() as session:
                await create_project(session, given)
        except ConflictError as error:
            return error.message
        return "made"

    answers = sorted(await asyncio.gather(*(create() for _ in range(20))))

    assert answers == sorted(["made", *["slug: 'cashbox' is taken by another project"] * 19])
    async with database.reading() as session:
        for model in (ProjectModel, EventModel):
            assert (await session.execute(select(func.count()).select_from(model))).scalar_one() == 1


async def test_a_slug_cannot_be_changed_to_one_that_is_taken(database: Database) -> None:
    await add(database, slug="taken")
    project = await add(database, slug="cashbox")

    async with database.transaction() as session:
        with pytest.raises(ConflictError, match="slug: 'taken' is taken"):
            await update_project(session, project.id, checked(ProjectUpdate, {"slug": "taken", "name": "New"}))

    async with database.reading() as session:
        unchanged = await store.get_project(session, project.id)
    assert unchanged is not None
    assert (unchanged.slug, unchanged.name) == ("cashbox", "Cashbox")


async def test_of_several_projects_that_take_the_same_slug_at_once_one_gets_it(database: Database) -> None:
    projects = [await add(database, slug=f"project-{number}") for number in range(8)]
    ready = asyncio.Barrier(len(projects))

    async def take(project: ProjectModel) -> bool:
        await ready.wait()
        try:
            async with database.transaction() as session:
                await update_project(session, project.id, checked(ProjectUpdate, {"slug": "wanted"}))
        except ConflictError:
            return False
        return True

    assert sorted(await asyncio.gather(*(take(project) for project in projects))) == [False] * 7 + [True]


async def test_a_change_touches_what_is_given_and_nothing_else(database: Database) -> None:
    project = await add(database, full_name="Acme Cashbox", frameworks=["flask"], metadata={"flag": 1})

    async with database.transaction() as session:
        changes = checked(ProjectUpdate, {"status": "archived", "frameworks": None, "metadata": {"flag": True}})
        changed = await update_project(session, project.id, changes)

    async with database.reading() as session:
        stored = await store.get_project(session, project.id)
    assert stored is not None
    assert changed is not None
    assert stored.to_dict() == changed.to_dict()
    assert (stored.status, stored.frameworks, stored.full_name) == (ProjectStatus.ARCHIVED, None, "Acme Cashbox")
    assert stored.metadata_ is not None
    assert stored.metadata_["flag"] is True
    assert stored.updated_at > stored.created_at


async def test_what_is_not_there_is_neither_changed_nor_removed(database: Database) -> None:
    async with database.transaction() as session:
        assert await update_project(session, NOBODY, checked(ProjectUpdate, {"name": "x"})) is None
        assert await update_repository(session, NOBODY, checked(RepositoryUpdate, {"name": "x"})) is None
        assert not await delete_project(session, NOBODY)
        assert not await delete_repository(session, NOBODY)
        assert not await delete_project_config(session, NOBODY)


async def test_a_project_is_removed_with_its_repositories_and_settings(database: Database) -> None:
    project = await add(database)
    repository = await add_repository(database, project)
    setting = await put(database, project.id, "x")

    async with database.transaction() as session:
        assert await delete_project(session, project.id)

    async with database.reading() as session:
        assert await store.get_project(session, project.id) is None
        assert await store.get_repository(session, repository.id) is None
        assert await store.get_project_config(session, setting.id) is None
        event = (await session.execute(select(EventModel))).scalar_one()
    assert event.project_id is None


@pytest.mark.parametrize(
    "given",
    [
        {"full_name": "acme/cashbox"},
        {"owner": "acme", "repo_name": "cashbox"},
        {"full_name": "acme/cashbox", "owner": "acme", "repo_name": "cashbox"},
    ],
)
async def test_a_repository_is_named_as_a_whole_or_by_its_parts(database: Database, given: dict[str, str]) -> None:
    async with database.transaction() as session:
        project, _ = await create_project(session, checked(ProjectCreate, {"name": "Cashbox"}))
        data = checked(RepositoryCreate, {"project_id": project.id, "provider": "github"} | given)
        repository = await create_repository(session, data)

    names = (repository.owner, repository.repo_name, repository.full_name, repository.name)
    assert names == ("acme", "cashbox", "acme/cashbox", "acme/cashbox")


async def test_the_owner_of_a_repository_may_be_a_group_in_a_group(database: Database) -> None:
    repository = await add_repository(database, await add(database), provider="gitlab", full_name="acme/tools/cashbox")

    assert (repository.owner, repository.repo_name) == ("acme/tools", "cashbox")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "owner"),
        ({"owner": "acme"}, "repo_name"),
        ({"full_name": "acme/cashbox", "owner": "other"}, "owner"),
        ({"full_name": "acme/cashbox", "repo_name": "other"}, "repo_name"),
        ({"full_name": "acme/cashbox", "project_id": NOBODY}, "project_id"),
    ],
)
async def test_a_repository_that_makes_no_sense_is_refused(
    database: Database, given: dict[str, Any], field: str
) -> None:
    project = await add(database)

    async with database.transaction() as session:
        data = checked(RepositoryCreate, {"project_id": project.id, "provider": "github"} | given)
        with pytest.raises(InvalidInputError) as caught:
            await create_repository(session, data)

    assert set(caught.value.fields) == {field}


async def test_a_repository_belongs_to_one_project_whatever_its_case(database: Database) -> None:
    project = await add(database)
    await add_repository(database, project)

    with pytest.raises(ConflictError, match="github Acme/CASHBOX belongs to a project already"):
        await add_repository(database, project, full_name="Acme/CASHBOX")
    assert (await add_repository(database, project, provider="gitlab")).full_name == "acme/cashbox"


async def test_a_repository_can_move_but_not_onto_another(database: Database) -> None:
    project, other = await add(database), await add(database, slug="other")
    repository = await add_repository(database, project)
    await add_repository(database, project, full_name="acme/till")

    async with database.transaction() as session:
        changes = checked(RepositoryUpdate, {"owner": "acme-tools", "project_id": other.id, "stars_count": 3})
        moved = await update_repository(session, repository.id, changes)
        with pytest.raises(ConflictError, match="acme/till belongs"):
            await update_repository(session, repository.id, checked(RepositoryUpdate, {"full_name": "acme/till"}))
        with pytest.raises(InvalidInputError, match="project_id"):
            await update_repository(session, repository.id, checked(RepositoryUpdate, {"project_id": NOBODY}))

    assert moved is not None
    async with database.reading() as session:
        stored = await store.get_repository(session, repository.id)
    assert stored is not None
    assert (stored.full_name, stored.project_id, stored.stars_count) == ("acme-tools/cashbox", other.id, 3)
    async with database.transaction() as session:
        assert await delete_repository(session, repository.id)


@pytest.mark.parametrize("value", [SECRET, None, False, 0, "", [1, {"a": SECRET}], "\N{SNOWMAN}"])
async def test_an_encrypted_setting_is_never_in_clear_but_for_its_reader(database: Database, value: Any) -> None:
    project = await add(database)
    row = await put(database, project.id, value, is_encrypted=True)

    async with database.reading() as session:
        raw = (await session.execute(text("SELECT * FROM project_configs"))).all()
        assert await project_config(session, VAULT, project.id) == {("github", "token"): value}
        assert await store.config(session, project.id) == {}
    assert SECRET not in f"{raw}{row.to_dict()}{row!r}"
    assert list(row.config_value) == ["encrypted"]


async def test_an_encrypted_setting_stays_encrypted_with_the_value_before(database: Database) -> None:
    project = await add(database)
    await put(database, project.id, "old", is_encrypted=True)
    row = await put(database, project.id, SECRET)

    assert (row.version, row.is_encrypted) == (2, True)
    assert [list(value) for value in (row.config_value, row.previous_value or {})] == [["encrypted"]] * 2
    same = await put(database, project.id, SECRET)
    assert (same.version, same.config_value, same.updated_at) == (2, row.config_value, row.updated_at)


async def test_a_setting_that_becomes_encrypted_takes_its_past_with_it(database: Database) -> None:
    project = await add(database)
    await put(database, project.id, f"{SECRET}-1")
    await put(database, project.id, f"{SECRET}-2")

    row = await put(database, project.id, f"{SECRET}-2", is_encrypted=True)

    assert (row.version, row.is_encrypted) == (2, True)
    async with database.reading() as session:
        assert SECRET not in str((await session.execute(text("SELECT * FROM project_configs"))).all())
        assert await project_config(session, VAULT, project.id) == {("github", "token"): f"{SECRET}-2"}


async def test_a_setting_that_is_shown_again_keeps_its_past_hidden(database: Database) -> None:
    project = await add(database)
    await put(database, project.id, SECRET, is_encrypted=True)

    row = await put(database, project.id, "no secret", is_encrypted=False)

    assert (row.config_value, row.version, row.is_encrypted) == ("no secret", 2, False)
    assert SECRET not in str(row.to_dict())


async def test_an_encrypted_setting_needs_the_vault_that_encrypted_it(database: Database) -> None:
    project = await add(database)
    await put(database, project.id, SECRET, is_encrypted=True)
    other = Vault(secret="another-secret-key-of-the-tests", key_file=Path("/nowhere/encryption-key"))

    async with database.transaction() as session:
        with pytest.raises(ConfigurationError, match="cannot be decrypted"):
            await project_config(session, other, project.id)
        with pytest.raises(ConfigurationError, match="without a vault"):
            await store.set_config(session, project_id=project.id, config_type="github", key="token", value="x")


async def test_a_setting_of_one_environment_goes_over_the_one_of_all(database: Database) -> None:
    project = await add(database)
    await put(database, project.id, "testing", environment="testing")
    await put(database, project.id, "any")
    await put(database, project.id, "off", config_key="unused", is_active=False)

    async with database.reading() as session:
        assert await project_config(session, VAULT, project.id) == {("github", "token"): "any"}
        testing = await project_config(session, VAULT, project.id, environment="testing")
    assert testing == {("github", "token"): "testing"}


async def test_true_replaces_1_in_a_setting(database: Database) -> None:
    project = await add(database)
    await put(database, project.id, 1)

    row = await put(database, project.id, True)

    async with database.reading() as session:
        stored = await store.get_project_config(session, row.id)
    assert stored is not None
    assert stored.config_value is True
    assert (stored.version, stored.previous_value) == (2, 1)


async def test_a_setting_that_20_make_at_once_is_one_row(database: Database) -> None:
    project = await add(database)

    await asyncio.gather(*(put(database, project.id, number, is_encrypted=number % 2 == 0) for number in range(20)))

    async with database.reading() as session:
        found = (await store.page_project_configs(session, project_id=project.id, limit=50)).rows
    assert [row.version for row in found] == [20]


async def test_a_setting_can_be_removed_and_needs_a_project(database: Database) -> None:
    row = await put(database, (await add(database)).id, "x", name="The token", tags=["x"])
    assert (row.name, row.tags) == ("The token", ["x"])

    async with database.transaction() as session:
        assert await delete_project_config(session, row.id)
    with pytest.raises(InvalidInputError, match=f"project_id: there is no project {NOBODY}"):
        await put(database, NOBODY, "x")


async def test_pages_go_on_where_the_last_ended_though_projects_are_added(database: Database) -> None:
    made = [await add(database, slug=f"project-{number}") for number in range(7)]
    await add(database, slug="archived", status="archived")

    async def read(cursor: str | None) -> Page[ProjectModel]:
        async with database.reading() as session:
            return await store.page_projects(session, limit=3, cursor=cursor, status=ProjectStatus.ACTIVE)

    first = await read(None)
    await add(database, slug="added-meanwhile")
    second = await read(first.next_cursor)
    third = await read(second.next_cursor)

    seen = [project.slug for found in (first, second, third) for project in found.rows]
    assert seen == [project.slug for project in reversed(made)]
    assert third.next_cursor is None


async def test_repositories_are_listed_by_project_and_provider(database: Database) -> None:
    project, other = await add(database), await add(database, slug="other")
    await add_repository(database, project)
    await add_repository(database, project, provider="gitlab")
    await add_repository(database, other, full_name="acme/other")

    async with database.reading() as session:
        everything = await store.page_repositories(session, limit=10)
        ours = await store.page_repositories(session, limit=10, project_id=project.id)
        gitlab = await store.page_repositories(session, limit=10, provider=RepositoryProvider.GITLAB)

    assert [len(found.rows) for found in (everything, ours, gitlab)] == [3, 2, 1]


@pytest.mark.parametrize("cursor", ["x", "", "\N{SNOWMAN}", "MjAyNi0wMS0wMXx4", "a" * 500])
async def test_a_cursor_that_no_page_gave_is_refused(database: Database, cursor: str) -> None:
    async with database.reading() as session:
        with pytest.raises(InvalidInputError, match="cursor"):
            await store.page_projects(session, limit=3, cursor=cursor)


DEEP: Any = "x"
for _ in range(60):
    DEEP = [DEEP]

ANY_ROW: list[tuple[dict[str, Any], str]] = [
    ({"nmae": "x"}, "nmae"),
    ({"id": str(NOBODY)}, "id"),
    ({"created_at": "2026-01-01T00:00:00Z"}, "created_at"),
    ({"name": ""}, "name"),
    ({"name": "x" * 501}, "name"),
    ({"name": "a\0b"}, "name"),
    ({"name": "\ud83d"}, "name"),
    ({"name": 5}, "name"),
    ({"description": "x" * 1_000_001}, "description"),
    ({"description": "a\0b"}, "description"),
    ({"tags": "x"}, "tags"),
    ({"tags": ["\udc00"]}, "tags.0"),
    ({"tags": ["x"] * 101}, "tags"),
    ({"metadata": [1]}, "metadata"),
    ({"metadata": {"a": 2**63}}, "metadata"),
    ({"metadata": {"a": float("inf")}}, "metadata"),
    ({"metadata": {"a\0": 1}}, "metadata"),
    ({"metadata": {"a": "\ud83d"}}, "metadata"),
    ({"metadata": {"a": DEEP}}, "metadata"),
    ({"metadata": {"a": "x" * 1_000_001}}, "metadata"),
]
PROJECT: list[tuple[dict[str, Any], str]] = [
    ({"slug": "My Project"}, "slug"),
    ({"slug": "x" * 201}, "slug"),
    ({"slug": "cashbox\n"}, "slug"),
    ({"status": "broken"}, "status"),
    ({"status": None}, "status"),
    ({"default_branch": "-x"}, "default_branch"),
    ({"default_branch": "a..b"}, "default_branch"),
    ({"default_branch": None}, "default_branch"),
    ({"auto_deploy_enabled": None}, "auto_deploy_enabled"),
    ({"auto_deploy_enabled": "perhaps"}, "auto_deploy_enabled"),
    ({"programming_languages": "python"}, "programming_languages"),
    ({"frameworks": ["x"] * 201}, "frameworks"),
    ({"team_members": [2**63]}, "team_members"),
    ({"total_tasks": 3}, "total_tasks"),
    ({"completed_tasks": 3}, "completed_tasks"),
    ({"failed_tasks": 3}, "failed_tasks"),
    ({"last_activity_at": "2026-01-01T00:00:00Z"}, "last_activity_at"),
]
REPOSITORY: list[tuple[dict[str, Any], str]] = [
    ({"project_id": "cashbox"}, "project_id"),
    ({"project_id": None}, "project_id"),
    ({"provider": "sourceforge"}, "provider"),
    ({"full_name": "cashbox"}, "full_name"),
    ({"full_name": "acme/../cashbox"}, "full_name"),
    ({"full_name": "acme//cashbox"}, "full_name"),
    ({"owner": "ac\0me"}, "owner"),
    ({"repo_name": "cash/box"}, "repo_name"),
    ({"stars_count": -1}, "stars_count"),
    ({"stars_count": 2**31}, "stars_count"),
    ({"forks_count": 2**70}, "forks_count"),
    ({"last_commit_sha": "main"}, "last_commit_sha"),
    ({"last_synced_at": 1_700_000_000}, "last_synced_at"),
    ({"is_fork": None}, "is_fork"),
    *(
        ({"clone_url": address}, "clone_url")
        for address in (
            "",
            "cashbox",
            "file:///srv/cashbox.git",
            "ftp://example.com/cashbox.git",
            "javascript://example.com/%0aalert(1)",
            "https://example.com",
            "https:///cashbox.git",
            "https://exa mple.com/cashbox.git",
            "https://example.com:port/cashbox.git",
            "https://[::1/cashbox.git",
            "https://example.com/cashbox.git\n",
            f"https://{SECRET}@github.com/acme/cashbox.git",
            f"https://user:{SECRET}@github.com/acme/cashbox.git",
            f"http://user:{SECRET}@example.com/cashbox.git",
            f"ssh://git:{SECRET}@example.com/cashbox.git",
            f"git:{SECRET}@example.com:acme/cashbox.git",
            f"https://example.com/cashbox.git?token={SECRET}",
            f"https://example.com/cashbox.git#{SECRET}",
            "ssh://-oProxyCommand=x/cashbox.git",
            "--upload-pack=x",
            "git@example.com:-x",
            "/srv/cash\0box",
            "/srv/cashbox\n",
            "../cashbox",
        )
    ),
]
CONFIG: list[tuple[dict[str, Any], str]] = [
    ({"config_type": ""}, "config_type"),
    ({"config_key": "a b"}, "config_key"),
    ({"config_key": None}, "config_key"),
    ({"config_value": 2**64}, "config_value"),
    ({"config_value": {1, 2}}, "config_value"),
    ({"config_value": "\0"}, "config_value"),
    ({"environment": ""}, "environment"),
    ({"is_encrypted": None}, "is_encrypted"),
    ({"version": 5}, "version"),
    ({"previous_value": 5}, "previous_value"),
]
A_PROJECT = {"name": "Cashbox"}
A_REPOSITORY = {"project_id": str(NOBODY), "provider": "github"}
A_CONFIG = {"config_type": "github", "config_key": "token", "config_value": 1}


@pytest.mark.parametrize(
    ("model", "valid", "bad", "field"),
    [
        *((ProjectCreate, A_PROJECT, bad, field) for bad, field in ANY_ROW + PROJECT if bad != {"slug": None}),
        *((ProjectUpdate, {}, bad, field) for bad, field in [*ANY_ROW, *PROJECT, ({"slug": None}, "slug")]),
        *((RepositoryCreate, A_REPOSITORY, bad, field) for bad, field in ANY_ROW + REPOSITORY),
        *((RepositoryUpdate, {}, bad, field) for bad, field in [*ANY_ROW, *REPOSITORY, ({"name": None}, "name")]),
        *((ProjectConfigSet, A_CONFIG, bad, field) for bad, field in ANY_ROW + CONFIG),
        (ProjectCreate, {}, {}, "name"),
        (RepositoryCreate, {"provider": "github"}, {}, "project_id"),
        (ProjectConfigSet, {"config_type": "a", "config_key": "b"}, {}, "config_value"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name_and_not_repeated(
    model: type[RowInput], valid: dict[str, Any], bad: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        checked(model, valid | bad)

    assert set(caught.value.fields) == {field}
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/acme/cashbox.git",
        "https://git.acme.example:8443/acme/cashbox",
        "http://git.acme.example/acme/cashbox.git",
        "ssh://git@github.com:22/acme/cashbox.git",
        "git://git.acme.example/cashbox.git",
        "git@github.com:acme/cashbox.git",
        "/srv/git/cash box.git",
    ],
)
def test_addresses_of_repositories_are_taken_as_they_are(address: str) -> None:
    given = checked(RepositoryCreate, A_REPOSITORY | {"clone_url": address, "ssh_url": None})

    assert given.clone_url == address


@pytest.mark.parametrize("name", ["日本", "!!!", " "])
async def test_a_name_that_makes_no_slug_needs_one_beside_it(database: Database, name: str) -> None:
    with pytest.raises(InvalidInputError, match="slug: is needed"):
        await add(database, name=name)
    assert (await add(database, name=name, slug=f"p-{uuid4().hex}")).name == name
