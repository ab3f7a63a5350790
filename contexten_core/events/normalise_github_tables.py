"""Where GitHub's payloads say what: dotted paths, the first that holds something counts.

https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

ACTORS = ("sender.login", "pusher.name")
PLACES = (
    "organization.login",
    "installation.account.login",
    "account.login",
    "marketplace_purchase.account.login",
    "sponsorship.sponsorable.login",
    "enterprise.slug",
)
NUMBERS = (
    "pull_request.number",
    "issue.number",
    "discussion.number",
    "sub_issue.number",
    "blocked_issue.number",
    "number",
)
COMMITS = (
    "after",
    "pull_request.head.sha",
    "check_run.head_sha",
    "check_suite.head_sha",
    "workflow_run.head_sha",
    "workflow_job.head_sha",
    "merge_group.head_sha",
    "deployment.sha",
    "comment.commit_id",
    "build.commit",
    "commit_oid",
    "alert.most_recent_instance.commit_sha",
    "sha",
)
BRANCHES = (
    "pull_request.head.ref",
    "check_suite.head_branch",
    "check_run.check_suite.head_branch",
    "workflow_run.head_branch",
    "workflow_job.head_branch",
    "deployment.ref",
    "branch",
)
TAGS = ("release.tag_name",)
BASE_BRANCHES = ("pull_request.base.ref",)
BASE_COMMITS = ("pull_request.base.sha", "merge_group.base_sha")
LABELS = ("pull_request.labels", "issue.labels", "discussion.labels")
CONCLUSIONS = {
    "check_run": ("check_run.conclusion",),
    "check_suite": ("check_suite.conclusion",),
    "deployment_status": ("deployment_status.state",),
    "status": ("state",),
    "workflow_job": ("workflow_job.conclusion",),
    "workflow_run": ("workflow_run.conclusion",),
}
PULL_REQUEST_LISTS = (
    "check_run.pull_requests",
    "check_suite.pull_requests",
    "check_run.check_suite.pull_requests",
    "workflow_run.pull_requests",
    "pull_requests",
)
HEAD_REPOSITORIES = (("pull_request", "head.repo"), ("workflow_run", "head_repository"))

SUBJECTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "branch_protection_rule": ("rule", ("rule.name", "rule.id")),
    "code_scanning_alert": ("code-scanning", ("alert.number",)),
    "custom_property": ("property", ("definition.property_name",)),
    "dependabot_alert": ("dependabot", ("alert.number",)),
    "deploy_key": ("key", ("key.id", "key.title")),
    "deployment": ("deployment", ("deployment.environment",)),
    "deployment_protection_rule": ("deployment", ("environment", "deployment.environment")),
    "deployment_status": ("deployment", ("deployment_status.environment", "deployment.environment")),
    "gollum": ("wiki", ("pages.0.page_name", "pages.0.title")),
    "installation": ("installation", ("installation.id",)),
    "installation_repositories": ("installation", ("installation.id",)),
    "installation_target": ("installation", ("installation.id", "account.login")),
    "label": ("label", ("label.name",)),
    "marketplace_purchase": ("plan", ("marketplace_purchase.plan.name",)),
    "member": ("member", ("member.login",)),
    "membership": ("team", ("team.slug", "team.name")),
    "milestone": ("milestone", ("milestone.number", "milestone.title")),
    "org_block": ("member", ("blocked_user.login",)),
    "organization": ("member", ("membership.user.login", "invitation.login", "invitation.email")),
    "package": ("package", ("package.name",)),
    "personal_access_token_request": ("token-request", ("personal_access_token_request.id",)),
    "project": ("project", ("project.number", "project.id")),
    "project_card": ("card", ("project_card.id",)),
    "project_column": ("column", ("project_column.id",)),
    "projects_v2": ("project", ("projects_v2.number", "projects_v2.node_id")),
    "projects_v2_item": ("item", ("projects_v2_item.content_node_id", "projects_v2_item.id")),
    "projects_v2_status_update": ("project", ("projects_v2_status_update.project_node_id",)),
    "registry_package": ("package", ("registry_package.name",)),
    "repository_advisory": ("advisory", ("repository_advisory.ghsa_id",)),
    "repository_ruleset": ("rule", ("repository_ruleset.name", "repository_ruleset.id")),
    "repository_vulnerability_alert": ("vulnerability", ("alert.number", "alert.ghsa_id", "alert.id")),
    "secret_scanning_alert": ("secret-scanning", ("alert.number",)),
    "secret_scanning_alert_location": ("secret-scanning", ("alert.number",)),
    "security_advisory": ("advisory", ("security_advisory.ghsa_id",)),
    "sponsorship": ("sponsor", ("sponsorship.sponsor.login",)),
    "team": ("team", ("team.slug", "team.name")),
    "team_add": ("team", ("team.slug", "team.name")),
}
"""What an event is about that is neither a pull request, an issue, a discussion, a branch nor a tag."""

WELL_KNOWN = ("title", "name", "display_title", "summary", "note", "body", "description")
ELSEWHERE = ("pull_request.title", "issue.title", "discussion.title", "alert.title")
_PULL_REQUEST = (("pull_request.title",),)
_WORKFLOW = ("workflow_run.display_title", "workflow_run.name", "workflow.name", "workflow_run.path")
TITLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "branch_protection_rule": (("rule.name",),),
    "check_run": (("check_run.name", "check_run.app.name"), ("check_run.conclusion", "check_run.status")),
    "check_suite": (("check_suite.app.name",), ("check_suite.conclusion", "check_suite.status")),
    "code_scanning_alert": (("alert.rule.description", "alert.rule.name", "alert.rule.id"),),
    "commit_comment": (("comment.body",),),
    "create": (("ref_type",), ("ref",)),
    "custom_property": (("definition.property_name",),),
    "custom_property_values": (("new_property_values.0.property_name",), ("new_property_values.0.value",)),
    "delete": (("ref_type",), ("ref",)),
    "dependabot_alert": (("alert.security_advisory.summary", "alert.dependency.package.name"),),
    "deploy_key": (("key.title",),),
    "deployment": (("deployment.task",), ("deployment.environment",)),
    "deployment_protection_rule": (("environment", "deployment.environment"),),
    "deployment_review": (_WORKFLOW, ("environment", "workflow_job_run.environment")),
    "deployment_status": (
        ("deployment_status.environment", "deployment.environment"),
        ("deployment_status.state",),
        ("deployment_status.description",),
    ),
    "discussion_comment": (("discussion.title",),),
    "fork": (("forkee.full_name", "forkee.name"),),
    "gollum": (("pages.0.title", "pages.0.page_name"), ("pages.0.action",)),
    "installation": (("installation.app_slug",), ("installation.account.login",)),
    "installation_repositories": (("installation.app_slug",), ("installation.account.login",)),
    "installation_target": (("account.login",),),
    "issue_comment": (("issue.title",),),
    "issue_dependencies": (("blocked_issue.title", "blocking_issue.title"),),
    "issues": (("issue.title",),),
    "marketplace_purchase": (("marketplace_purchase.plan.name",), ("marketplace_purchase.account.login",)),
    "member": (("member.login",),),
    "membership": (("member.login",), ("team.name",)),
    "merge_group": (("merge_group.head_commit.message", "merge_group.head_ref"),),
    "meta": (("hook.name", "hook.type"),),
    "org_block": (("blocked_user.login",),),
    "organization": (("membership.user.login", "invitation.login", "invitation.email", "organization.login"),),
    "package": (("package.name",), ("package.package_version.version",)),
    "page_build": (("build.status",), ("build.error.message",)),
    "ping": (("zen",),),
    "pull_request": _PULL_REQUEST,
    "pull_request_review": _PULL_REQUEST,
    "pull_request_review_comment": _PULL_REQUEST,
    "pull_request_review_thread": _PULL_REQUEST,
    "projects_v2_item": (("projects_v2_item.content_type",), ("changes.field_value.field_name",)),
    "push": (("head_commit.message", "ref"),),
    "registry_package": (("registry_package.name",), ("registry_package.package_version.version",)),
    "release": (("release.name", "release.tag_name"),),
    "repository": (("repository.full_name",), ("action",)),
    "repository_dispatch": (("action",),),
    "repository_import": (("repository.full_name",), ("status",)),
    "repository_vulnerability_alert": (("alert.affected_package_name",), ("alert.external_identifier",)),
    "secret_scanning_alert": (("alert.secret_type_display_name", "alert.secret_type"),),
    "secret_scanning_alert_location": (
        ("alert.secret_type_display_name", "alert.secret_type"),
        ("location.details.path", "location.type"),
    ),
    "security_advisory": (("security_advisory.summary", "security_advisory.ghsa_id"),),
    "sponsorship": (("sponsorship.sponsor.login",), ("sponsorship.tier.name",)),
    "status": (("context",), ("state",), ("description",)),
    "sub_issues": (("sub_issue.title", "parent_issue.title"),),
    "team": (("team.name",),),
    "team_add": (("team.name",),),
    "workflow_dispatch": (("workflow",),),
    "workflow_job": (
        ("workflow_job.workflow_name",),
        ("workflow_job.name",),
        ("workflow_job.conclusion", "workflow_job.status"),
    ),
    "workflow_run": (_WORKFLOW, ("workflow_run.conclusion", "workflow_run.status")),
}
"""The parts of an event's title, which are joined by spaces. Events without a row have WELL_KNOWN parts of their own
object, `label.name` say, or those of ELSEWHERE: also what GitHub will have tomorrow."""

TEXTS = (
    "comment.body",
    "review.body",
    "answer.body",
    "pull_request.body",
    "issue.body",
    "sub_issue.body",
    "discussion.body",
    "release.body",
    "head_commit.message",
    "merge_group.head_commit.message",
    "commit.commit.message",
    "check_run.output.summary",
    "check_run.output.text",
    "alert.security_advisory.description",
    "alert.rule.full_description",
    "security_advisory.description",
    "repository_advisory.description",
    "deployment_status.description",
    "deployment.description",
    "milestone.description",
    "project_card.note",
    "projects_v2_status_update.body",
    "pages.0.summary",
    "description",
)

LINK_KEYS = ("html_url", "target_url", "details_url", "log_url", "environment_url", "permalink", "compare")
LINK_LISTS = (("commits", "url"), ("pages", "html_url"), ("thread.comments", "html_url"))
LINKS = (
    "comment.html_url",
    "review.html_url",
    "thread.comments.0.html_url",
    "answer.html_url",
    "check_run.html_url",
    "workflow_job.html_url",
    "workflow_run.html_url",
    "alert.html_url",
    "pull_request.html_url",
    "issue.html_url",
    "sub_issue.html_url",
    "discussion.html_url",
    "deployment_status.target_url",
    "deployment_status.log_url",
    "forkee.html_url",
    "pages.0.html_url",
    "target_url",
    "commit.html_url",
    "compare",
    "team.html_url",
    "member.html_url",
    "membership.user.html_url",
    "blocked_user.html_url",
    "sponsorship.sponsor.html_url",
    "repository.html_url",
    "organization.html_url",
    "installation.html_url",
)

OWN_APPS: tuple[tuple[str, frozenset[str]], ...] = (
    ("comment.performed_via_github_app", frozenset()),
    ("review.performed_via_github_app", frozenset()),
    ("issue.performed_via_github_app", frozenset({"opened"})),
    ("deployment.performed_via_github_app", frozenset({"created"})),
    ("deployment_status.performed_via_github_app", frozenset({"created"})),
    ("check_run.app", frozenset({"created", "completed"})),
    ("check_suite.app", frozenset({"completed"})),
)
"""Where an app is named, and for which actions that says that it acted; for all, where none are given.

Somebody who asks to have our check run again, or who labels our issue, is not ourselves.
"""
