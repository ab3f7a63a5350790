"""What git's own words mean: whether trying again can help, and what a person can do."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from contexten_core.errors import GitError
from contexten_core.security.text import one_line

_SHOWN_LINES = 4
_SHOWN_CHARACTERS = 600
_URL_CREDENTIALS = re.compile(r"://[^/\s@]+@")
_NOISE = re.compile(
    r"^(?:hint:|warning: redirecting|please make sure you have|and the repository exists|remote: *$)", re.IGNORECASE
)


class UnadvertisedError(GitError):
    """The server gives out only what its refs point to, not commits by id."""


class UnknownRefError(GitError):
    """The repository has no such ref."""


@dataclass(frozen=True, slots=True)
class _Meaning:
    words: re.Pattern[str]
    hint: str
    transient: bool
    kind: type[GitError]


def _meaning(words: str, hint: str, *, transient: bool = False, kind: type[GitError] = GitError) -> _Meaning:
    return _Meaning(re.compile(words, re.IGNORECASE), hint, transient, kind)


# In this order: git often adds "the remote end hung up" to a refusal that no retry will change.
_MEANINGS = (
    _meaning(r"unadvertised object|want \w+ not valid", "Name the branch of the commit.", kind=UnadvertisedError),
    _meaning(r"couldn't find remote ref", "Check the name of the branch or tag.", kind=UnknownRefError),
    _meaning(
        r"not our ref|not a valid object|bad object",
        "The commit is not in the repository, or not any more: it may have been force-pushed away.",
    ),
    _meaning(
        r"authentication failed|could not read (?:username|password)|permission denied|access denied"
        r"|returned error: 40[13]|invalid credentials|terminal prompts disabled",
        "Check that the token or SSH key is valid and may read this repository.",
    ),
    _meaning(
        r"repository .*not found|returned error: 404|does not appear to be a git repository|not a git repository",
        "Check the clone URL, and that the credentials may see the repository.",
    ),
    _meaning(r"host key verification failed", "Add the host to known_hosts of the user that runs this service."),
    _meaning(r"returned error: 30\d", "The repository has moved: put its new clone URL into the project."),
    _meaning(r"ssl certificate|certificate verif", "The server's certificate is not trusted by this machine."),
    _meaning(r"no space left on device|file too large", "Free disk space where the mirrors are, or raise the limit."),
    _meaning(
        r"out of memory|cannot allocate memory|mmap failed",
        "The repository, or the change, is larger than what is supported.",
    ),
    _meaning(r"invalid path|file name too long", "The commit has a file name that cannot be written here."),
    _meaning(r"mismatched algorithms", "The repository and its mirror use different hash functions."),
    _meaning(r"'git'?:? no such file|git: not found", "Install git on this machine."),
    _meaning(
        r"could not resolve|name resolution|timed? ?out|connection (?:refused|reset|closed|was reset)"
        r"|failed to connect|couldn't connect|network is unreachable|no route to host|early eof|hung up unexpectedly"
        r"|unexpected disconnect|broken pipe|too slow|returned error: (?:5\d\d|429)|http 5\d\d|rpc failed"
        r"|ssl_error_syscall|gnutls recv error|\.lock': file exists",
        "The network or the server failed; the same may work later.",
        transient=True,
    ),
)


def git_failure(what: str, *, status: int, stderr: bytes, secrets: Sequence[str] = ()) -> GitError:
    """Describe a git call that ended with `status`, in git's own last lines, without credentials."""
    # What a server says may hold anything, orders to a terminal included.
    decoded = stderr.decode("utf-8", "replace")
    text = "\n".join(one_line(line, len(decoded)) for line in re.split(r"[\r\n]+", decoded))
    for secret in secrets:
        text = text.replace(secret, "***")
    text = _URL_CREDENTIALS.sub("://***@", text)
    lines = [line for line in text.split("\n") if line and not _NOISE.match(line)]
    said = "; ".join(lines[-_SHOWN_LINES:])[-_SHOWN_CHARACTERS:] or f"git ended with status {status} and said nothing"
    for meaning in _MEANINGS:
        if meaning.words.search(text):
            return meaning.kind(f"{what} failed: {said}", hint=meaning.hint, transient=meaning.transient)
    return GitError(f"{what} failed: {said}", hint="Check the repository and its clone URL.")
