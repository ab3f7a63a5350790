"""Webhook payloads with the fields that GitHub sends."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote

from contexten.emulators.shapes import Json, node_id, stable_id, timestamp, user
from contexten.emulators.shapes import repository as repository_shape
from contexten_core.errors import MalformedPayloadError

NO_COMMIT = "0" * 40


def push_payload(
    repository: str,
    before: str,
    after: str,
    ref: str,
    message: str,
    pusher: str,
    pushed_at: datetime,
    *,
    default_branch: str = "main",
    modified: Sequence[str] = (),
) -> Json:
    """Make the payload of a `push` of one commit, which moves the ref (refs/heads/main) from `before` to `after`.

    A push that creates the ref has `NO_COMMIT` as `before`, one that deletes it has it as `after`. The repository is
    given as owner/name, the pusher by login, the time aware; `modified` are the paths that the commit changed.

    Raises:
        MalformedPayloadError: the repository is not `owner/name`.
    """
    shape = repository_shape(repository, default_branch=default_branch, at=pushed_at)
    html_url = shape["html_url"]
    seconds = int(pushed_at.timestamp())
    shape |= {"url": html_url, "created_at": seconds, "pushed_at": seconds, "stargazers": 0}
    shape["master_branch"] = default_branch
    person = {"name": pusher, "email": f"{pusher}@users.noreply.github.com"}
    commits = []
    if after != NO_COMMIT:
        signature = {**person, "username": pusher}
        commit = {
            "id": after,
            "tree_id": hashlib.sha1(after.encode(), usedforsecurity=False).hexdigest(),
            "distinct": True,
            "message": message,
            "timestamp": timestamp(pushed_at),
            "url": f"{html_url}/commit/{after}",
            "author": signature,
            "committer": signature,
            "added": [],
            "removed": [],
            "modified": list(modified),
        }
        commits.append(commit)
    created = before == NO_COMMIT
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "repository": shape,
        "pusher": person,
        "sender": user(pusher),
        "created": created,
        "deleted": after == NO_COMMIT,
        "forced": False,
        "base_ref": None,
        "compare": f"{html_url}/commit/{after[:12]}" if created else f"{html_url}/compare/{before[:12]}...{after[:12]}",
        "commits": commits,
        "head_commit": commits[-1] if commits else None,
    }


def pull_request_payload(
    repository: str,
    number: int,
    action: str,
    head_sha: str,
    base_sha: str,
    head_ref: str,
    title: str,
    sender: str,
    *,
    base_ref: str = "main",
    before: str | None = None,
    labels: Sequence[str] = (),
    draft: bool = False,
    merged: bool = False,
    at: datetime | None = None,
) -> Json:
    """Make the payload of a `pull_request` from a branch of the same repository (owner/name).

    `sender` is the login of the person who opened the pull request and who acts now. What an action adds is there:
    for `synchronize`, `before` is the head before the push (the base commit when left out); `labeled` and `unlabeled`
    are about the last of `labels`; `closed` looks at `merged`. `at` is an aware time, now when left out.

    Raises:
        MalformedPayloadError: the repository is not `owner/name`, or `labeled` has no label.
    """
    moment = at or datetime.now(UTC)
    shape = repository_shape(repository, default_branch=base_ref, at=moment)
    label_shapes = [_label(shape, name) for name in labels]
    pull_request = _pull_request(shape, number=number, title=title, author=sender, moment=timestamp(moment))
    pull_request |= {
        "statuses_url": f"{shape['url']}/statuses/{head_sha}",
        "head": _side(shape, ref=head_ref, sha=head_sha),
        "base": _side(shape, ref=base_ref, sha=base_sha),
        "labels": label_shapes,
        "draft": draft,
    }
    pull_request["_links"]["statuses"] = {"href": pull_request["statuses_url"]}
    payload: Json = {
        "action": action,
        "number": number,
        "pull_request": pull_request,
        "repository": shape,
        "sender": user(sender),
    }
    if action == "synchronize":
        payload |= {"before": before or base_sha, "after": head_sha}
    elif action in {"labeled", "unlabeled"}:
        if not labels:
            raise MalformedPayloadError(f"A pull request cannot be {action} without a label.", hint="Give `labels`.")
        payload["label"] = label_shapes[-1]
    elif action == "closed":
        pull_request |= {"state": "closed", "closed_at": timestamp(moment), "merged": merged}
        if merged:
            pull_request |= {"merged_at": timestamp(moment), "merged_by": user(sender), "merge_commit_sha": head_sha}
    return payload


def _pull_request(shape: Json, *, number: int, title: str, author: str, moment: str) -> Json:
    number_id = stable_id("PullRequest", f"{shape['full_name']}#{number}")
    api, html_url = shape["url"], f"{shape['html_url']}/pull/{number}"
    url, issue_url = f"{api}/pulls/{number}", f"{api}/issues/{number}"
    links = {
        "self": url,
        "html": html_url,
        "issue": issue_url,
        "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
    }
    return {
        "url": url,
        "id": number_id,
        "node_id": node_id("PullRequest", number_id),
        "html_url": html_url,
        "diff_url": f"{html_url}.diff",
        "patch_url": f"{html_url}.patch",
        "issue_url": issue_url,
        "number": number,
        "state": "open",
        "locked": False,
        "title": title,
        "user": user(author),
        "body": None,
        "created_at": moment,
        "updated_at": moment,
        "closed_at": None,
        "merged_at": None,
        "merge_commit_sha": None,
        "assignee": None,
        "assignees": [],
        "requested_reviewers": [],
        "requested_teams": [],
        "milestone": None,
        "commits_url": links["commits"],
        "review_comments_url": links["review_comments"],
        "review_comment_url": links["review_comment"],
        "comments_url": links["comments"],
        "_links": {name: {"href": link} for name, link in links.items()},
        "author_association": "MEMBER",
        "auto_merge": None,
        "active_lock_reason": None,
        "merged": False,
        "mergeable": None,
        "rebaseable": None,
        "mergeable_state": "unknown",
        "merged_by": None,
        "comments": 0,
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": 1,
        "additions": 1,
        "deletions": 1,
        "changed_files": 1,
    }


def _side(shape: Json, *, ref: str, sha: str) -> Json:
    owner = shape["owner"]
    return {"label": f"{owner['login']}:{ref}", "ref": ref, "sha": sha, "user": owner, "repo": shape}


def _label(shape: Json, name: str) -> Json:
    number = stable_id("Label", f"{shape['full_name']}:{name}")
    return {
        "id": number,
        "node_id": node_id("Label", number),
        "url": f"{shape['url']}/labels/{quote(name)}",
        "name": name,
        "color": "ededed",
        "default": False,
        "description": None,
    }
