"""Repositories that an application is given, by whatever name."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select

from contexten import ContextenApp
from contexten.emulators.repositories import DemoRepositories, DemoRepository, make_demo_repositories
from contexten_core.codebase.models import CodebaseAnalysisModel, CodebaseModel, CodebaseSnapshotModel, CodebaseStatus
from contexten_core.errors import GitError, InvalidInputError
from contexten_core.execution.private_folder import private_folder
from contexten_core.projects.add import add_repository

BuildApp = Callable[..., ContextenApp]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoRepositories:
    return make_demo_repositories(tmp_path_factory.mktemp("repositories"))


@pytest.fixture
def cashbox(demo: DemoRepositories) -> DemoRepository:
    return demo.cashbox


@pytest.fixture
async def with_repository(build_app: BuildApp, cashbox: DemoRepository) -> AsyncIterator[ContextenApp]:
    app = build_app(repo=str(cashbox.path))
    await app.initialize()
    yield app
    await app.shutdown()


async def rows(app: ContextenApp, model: Any) -> list[Any]:
    async with app.db_manager.reading() as session:
        return list((await session.execute(select(model))).scalars())


async def register(app: ContextenApp, name: str, repository: DemoRepository) -> Any:
    await app.initialize()
    async with app.orchestrator.get_db_session() as session:
        project, _ = await add_repository(
            session, full_name=name, clone_url=str(repository.path), config={("git", "allow_local"): True}
        )
        return project.id


async def test_the_one_it_was_built_with_is_parsed_when_it_starts(
    with_repository: ContextenApp, cashbox: DemoRepository
) -> None:
    codebase = with_repository.get_codebase()

    assert with_repository.codebase is codebase
    assert with_repository.codebases == {str(cashbox.path): codebase}
    assert codebase.commit == cashbox.head
    assert codebase.primary_language == "Python"
    assert codebase.facts.files == len(codebase.files) > 0
    assert {function.name for function in codebase.functions}
    assert "Python" in codebase.languages
    assert codebase.file(codebase.files[0].path) is codebase.files[0]
    with pytest.raises(KeyError, match=f"has no file nowhere.py at {cashbox.head[:10]}"):
        codebase.file("nowhere.py")


async def test_several_are_kept_by_name_and_the_last_is_the_default(app: ContextenApp, demo: DemoRepositories) -> None:
    for repository in (demo.cashbox, demo.thermometer):
        assert await app.add_repo(str(repository.path)) is None  # type: ignore[func-returns-value]

    assert app.get_codebase().name == str(demo.thermometer.path)
    assert app.get_codebase(str(demo.cashbox.path)).commit == demo.cashbox.head


async def test_one_that_was_not_added_is_a_key_error(app: ContextenApp) -> None:
    with pytest.raises(KeyError) as default:
        app.get_codebase()
    with pytest.raises(KeyError) as named:
        app.get_codebase("owner/other")

    assert default.value.args == ("No default repository has been parsed",)
    assert named.value.args == ("Repository owner/other has not been parsed",)


async def test_a_second_parse_of_the_same_commit_is_one_codebase(
    with_repository: ContextenApp, cashbox: DemoRepository
) -> None:
    first = with_repository.get_codebase()
    await with_repository.add_repo(str(cashbox.path), "latest")
    await with_repository.add_repo(str(cashbox.path))

    second = with_repository.get_codebase()
    assert (second.id, second.files) == (first.id, first.files)
    (stored,) = await rows(with_repository, CodebaseModel)
    assert (stored.commit_sha, stored.status) == (cashbox.head, CodebaseStatus.COMPLETED)
    assert stored.total_files == first.facts.files
    assert stored.total_functions == first.facts.functions
    assert len(await rows(with_repository, CodebaseAnalysisModel)) == 1


async def test_a_commit_whose_snapshot_is_not_kept_any_more_is_analysed_again(
    with_repository: ContextenApp, cashbox: DemoRepository
) -> None:
    first = with_repository.get_codebase()
    async with with_repository.db_manager.transaction() as session:
        await session.execute(delete(CodebaseSnapshotModel))

    await with_repository.add_repo(str(cashbox.path))

    assert with_repository.get_codebase().facts == first.facts
    assert len(await rows(with_repository, CodebaseAnalysisModel)) == 2
    assert len(await rows(with_repository, CodebaseSnapshotModel)) == 1


async def test_what_is_known_of_one_is_answered_over_http(app: ContextenApp, cashbox: DemoRepository) -> None:
    ids = []
    for commit in (cashbox.parent, cashbox.head):
        await app.add_repo(str(cashbox.path), commit)
        ids.append(app.get_codebase().id)
    transport = httpx.ASGITransport(app=app.app, client=("127.0.0.1", 50_000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        facts = await client.get(f"/api/codebases/{ids[1]}/facts")
        impact = await client.get(f"/api/codebases/{ids[1]}/impact", params={"base": cashbox.parent})

    assert (facts.status_code, facts.json()["commit"]) == (200, cashbox.head), facts.text
    assert (impact.status_code, impact.json()["base"]) == (200, cashbox.parent), impact.text


@pytest.mark.parametrize("what", ["branch", "refs", "commit", "older commit"])
async def test_a_commit_is_named_by_branch_or_id(app: ContextenApp, cashbox: DemoRepository, what: str) -> None:
    name, expected = {
        "branch": (cashbox.branch, cashbox.branch_head),
        "refs": (f"refs/heads/{cashbox.branch}", cashbox.branch_head),
        "commit": (cashbox.head, cashbox.head),
        "older commit": (cashbox.parent, cashbox.parent),
    }[what]

    await app.add_repo(str(cashbox.path), name)

    assert app.get_codebase().commit == expected


async def test_one_that_does_not_exist_is_a_git_error(
    app: ContextenApp, cashbox: DemoRepository, tmp_path: Path
) -> None:
    for name, commit in (
        (str(tmp_path / "nowhere"), None),
        (str(cashbox.path), "no-such-branch"),
        (str(cashbox.path), "0" * 40),
    ):
        with pytest.raises(GitError):
            await app.add_repo(name, commit)

    assert app.codebases == {}
    assert await rows(app, CodebaseModel) == []


@pytest.mark.parametrize("name", ["", "nothing", "../up/and/away", "-o/--upload-pack=x", "a/b/c", "owner/name\n"])
async def test_what_names_no_repository_is_refused(app: ContextenApp, name: str) -> None:
    with pytest.raises((InvalidInputError, GitError)):
        await app.add_repo(name)


async def test_a_projects_repository_is_found_by_its_name(build_app: BuildApp, cashbox: DemoRepository) -> None:
    app = build_app(repo="owner/repository")
    try:
        await app.orchestrator.initialize()
        async with app.db_manager.transaction() as session:
            project, _ = await add_repository(
                session,
                full_name="owner/repository",
                clone_url=str(cashbox.path),
                config={("git", "allow_local"): True},
            )
        await app.initialize()
        assert app.get_codebase("owner/repository").commit == cashbox.head
        (stored,) = await rows(app, CodebaseModel)
        assert stored.project_id == project.id
    finally:
        await app.shutdown()


def test_parse_repo_does_it_without_async(build_app: BuildApp, cashbox: DemoRepository) -> None:
    app = build_app(repo=str(cashbox.path))

    codebase = app.parse_repo()

    assert codebase.commit == cashbox.head
    assert app.parse_repo() is codebase is app.get_codebase()
    assert not app.db_manager.is_open
    with pytest.raises(KeyError, match="No default repository has been parsed"):
        build_app().parse_repo()


async def test_mirrors_are_kept_private(app: ContextenApp, cashbox: DemoRepository) -> None:
    await app.add_repo(str(cashbox.path))

    for folder in (Path(app.tmp_dir), Path(app.tmp_dir) / "mirrors"):
        assert folder.stat().st_mode & 0o077 == 0


def test_a_private_folder_is_one_that_nobody_else_can_enter_or_replace(tmp_path: Path) -> None:
    made = private_folder(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    assert private_folder(made) == made

    readable = tmp_path / "readable"
    readable.mkdir(mode=0o755)
    assert private_folder(readable / "ours").is_dir(), "others may look at what is above it"

    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    assert private_folder(sticky / "ours").is_dir(), "as in /tmp"


@pytest.mark.parametrize("wrong", ["open", "file", "link", "writable parent", "parent is a file"])
def test_any_other_folder_is_refused(tmp_path: Path, wrong: str) -> None:
    from contexten_core.errors import ConfigurationError

    folder = tmp_path / "parent" / "folder"
    folder.parent.mkdir()
    match wrong:
        case "open":
            folder.mkdir()
            folder.chmod(0o755)
        case "file":
            folder.write_text("")
        case "link":
            (tmp_path / "elsewhere").mkdir(mode=0o700)
            folder.symlink_to(tmp_path / "elsewhere")
        case "writable parent":
            folder.parent.chmod(0o777)
        case _:
            folder.parent.rmdir()
            folder.parent.write_text("")

    with pytest.raises(ConfigurationError, match="the folder") as caught:
        private_folder(folder)

    assert "TMP_DIR" in str(caught.value.hint)


async def test_registered_names_survive_a_restart(build_app: BuildApp, cashbox: DemoRepository) -> None:
    before = build_app()
    await register(before, "owner/repo1", cashbox)
    await before.shutdown()

    app = build_app()
    try:
        await app.add_repo("owner/repo1")
        assert app.get_codebase("owner/repo1").url == str(cashbox.path)
    finally:
        await app.shutdown()
