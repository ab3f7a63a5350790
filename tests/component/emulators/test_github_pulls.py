"""Git's objects, pull requests and labels, as GitHub's own client understands them."""

from githubkit import GitHub, TokenAuthStrategy

from contexten.emulators.github import run_emulator

WHERE = ("acme", "cashbox")
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
HELLO = "ce013625030ba8dba906f756967f9e9ca394464a"


async def test_githubkit_commits_opens_a_pull_request_and_labels_it() -> None:
    async with (
        run_emulator() as served,
        GitHub(TokenAuthStrategy("ghs_1"), base_url=served.url, http_cache=False, trust_env=False) as github,
    ):
        git, pulls, issues = github.rest.git, github.rest.pulls, github.rest.issues
        base = (await git.async_get_commit(*WHERE, "4d1c2b3a" * 5)).parsed_data
        assert base.tree.sha == EMPTY_TREE, "the ids are those of git"
        blob = (await git.async_create_blob(*WHERE, content="hello\n")).parsed_data
        assert blob.sha == HELLO
        entry = {"path": "docs/hello.txt", "mode": "100644", "type": "blob", "sha": blob.sha}
        tree = (await git.async_create_tree(*WHERE, data={"base_tree": base.tree.sha, "tree": [entry]})).parsed_data
        assert [(part.path, part.mode, part.type) for part in tree.tree] == [("docs", "040000", "tree")]
        commit = (
            await git.async_create_commit(*WHERE, message="Say hello", tree=tree.sha, parents=[base.sha])
        ).parsed_data
        await git.async_create_ref(*WHERE, ref="refs/heads/hello", sha=commit.sha)
        refs = (await git.async_list_matching_refs(*WHERE, "heads/hel")).parsed_data
        assert [(ref.ref, ref.object_.sha) for ref in refs] == [("refs/heads/hello", commit.sha)]

        made = (
            await pulls.async_create(*WHERE, title="Hello", head="hello", base="main", body="Well.", draft=True)
        ).parsed_data
        assert (made.state, made.draft, made.head.sha, made.body) == ("open", True, commit.sha, "Well.")
        assert [pull.number for pull in (await pulls.async_list(*WHERE, head="acme:hello")).parsed_data] == [
            made.number
        ]
        await pulls.async_update(*WHERE, made.number, state="closed")
        assert (await pulls.async_list(*WHERE)).parsed_data == []
        assert (await pulls.async_get(*WHERE, made.number)).parsed_data.state == "closed"

        added = await issues.async_add_labels(*WHERE, made.number, labels=["bug", "Bug", "area/till"])
        assert [label.name for label in added.parsed_data] == ["bug", "area/till"]
        left = (await issues.async_remove_label(*WHERE, made.number, "BUG")).parsed_data
        assert [label.name for label in left] == ["area/till"]
