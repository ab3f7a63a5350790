"""The mirror of a repository whose commits have been analysed."""

from contexten_core.codebase.whole import NO_COMMIT
from contexten_core.execution.git import GitMirrors, Mirror
from contexten_core.execution.git_token import token_for
from contexten_core.settings import Settings


def mirror_of(settings: Settings, mirrors: GitMirrors, url: str, *commits: str) -> Mirror:
    """Return the mirror of an analysed repository with these commits in it, fetched again where they are missing.

    They may have been analysed from a mirror elsewhere, an application's own say. Blocks.

    Args:
        url: of a codebase; whoever analysed it was allowed to read that, a folder of this machine too.

    Raises:
        GitError: a commit is not to be had any more, or not for the moment.
    """
    mirror = mirrors.open(url, token_for(settings, url), allow_local=True)
    for commit in commits:
        if commit != NO_COMMIT:
            mirror.fetch(commit)
    return mirror
