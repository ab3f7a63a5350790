"""The JSON that GitHub uses for users, repositories, times and problems."""

import base64
import zlib
from datetime import UTC, datetime
from typing import Any

from contexten_core.errors import MalformedPayloadError

Json = dict[str, Any]

API_URL = "https://api.github.com"
HTML_URL = "https://github.com"

_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}

_REPOSITORY_LINKS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}


def stable_id(kind: str, name: str) -> int:
    """Give a thing the same number every time, as wide as GitHub's are."""
    return zlib.crc32(f"{kind}:{name.lower()}".encode())


def node_id(kind: str, number: int) -> str:
    return base64.b64encode(f"0{len(kind)}:{kind}{number}".encode()).decode()


def timestamp(moment: datetime) -> str:
    """Write a time as GitHub does: UTC, whole seconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def user(login: str, *, api: str = API_URL) -> Json:
    """Give a user, or a bot when the login ends in `[bot]`."""
    number = stable_id("User", login)
    return {
        "login": login,
        "id": number,
        "node_id": node_id("User", number),
        "avatar_url": f"https://avatars.githubusercontent.com/u/{number}?v=4",
        "gravatar_id": "",
        "url": f"{api}/users/{login}",
        "html_url": f"{HTML_URL}/{login}",
        **{name: f"{api}/users/{login}{path}" for name, path in _USER_LINKS.items()},
        "type": "Bot" if login.endswith("[bot]") else "User",
        "site_admin": False,
    }


def repository(full_name: str, *, default_branch: str, at: datetime, api: str = API_URL) -> Json:
    """Give a public repository that was last touched at the time `at`.

    Raises:
        MalformedPayloadError: the name is not `owner/name`.
    """
    owner, _, name = full_name.partition("/")
    if not owner or not name or "/" in name:
        raise MalformedPayloadError(f"{full_name!r} names no repository.", hint="Write it as owner/name.")
    number = stable_id("Repository", full_name)
    html_url = f"{HTML_URL}/{full_name}"
    return {
        "id": number,
        "node_id": node_id("Repository", number),
        "name": name,
        "full_name": full_name,
        "private": False,
        "owner": user(owner, api=api),
        "html_url": html_url,
        "description": None,
        "fork": False,
        "url": f"{api}/repos/{full_name}",
        **{link: f"{api}/repos/{full_name}{path}" for link, path in _REPOSITORY_LINKS.items()},
        "created_at": timestamp(at),
        "updated_at": timestamp(at),
        "pushed_at": timestamp(at),
        "git_url": f"git://github.com/{full_name}.git",
        "ssh_url": f"git@github.com:{full_name}.git",
        "clone_url": f"{html_url}.git",
        "svn_url": html_url,
        "homepage": None,
        "size": 12,
        "stargazers_count": 0,
        "watchers_count": 0,
        "language": "Python",
        "has_issues": True,
        "has_projects": True,
        "has_downloads": True,
        "has_wiki": True,
        "has_pages": False,
        "has_discussions": False,
        "forks_count": 0,
        "mirror_url": None,
        "archived": False,
        "disabled": False,
        "open_issues_count": 0,
        "license": None,
        "allow_forking": True,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": "public",
        "forks": 0,
        "open_issues": 0,
        "watchers": 0,
        "default_branch": default_branch,
        "custom_properties": {},
    }
