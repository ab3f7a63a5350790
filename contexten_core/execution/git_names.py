"""What may be handed to git as a repository, a ref or an object id. Everything else is refused before git starts."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import unquote, urlsplit

from contexten_core.errors import GitError

_MAX_URL = 2048
_MAX_REF = 512
_OBJECT_ID = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})")
_HOST = r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
_USER = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
_SSH_URL = re.compile(rf"ssh://(?:{_USER}@)?{_HOST}(?::\d{{1,5}})?/(?!-).+")
_SCP_LIKE = re.compile(rf"(?:{_USER}@)?{_HOST}:(?![-/]{{2}}|-|:).+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_REF_REFUSED = re.compile(r"[\x00-\x20\x7f-\x9f~^:?*\[\\\ud800-\udfff]|\.\.|@\{|//|/\.|\.lock(?:/|$)|^[-./]|[./]$|^@$")


class Transport(StrEnum):
    HTTPS = "https"
    HTTP = "http"
    SSH = "ssh"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a repository is fetched from.

    Attributes:
        url: what git is given, without credentials, and so fit for messages.
        transport: the one transport git may use for it.
        user: found inside an http or https clone URL, or empty.
        password: likewise.
    """

    url: str
    transport: Transport
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def parse_source(clone_url: str, *, allow_local: bool) -> Source:
    """Accept https and ssh URLs, and with `allow_local` absolute paths, `file:` URLs and http to this machine.

    Raises:
        GitError: anything else.
    """
    if not clone_url or len(clone_url) > _MAX_URL or _UNPRINTABLE.search(clone_url):
        raise GitError("the clone URL is empty, too long or has control characters", hint=_url_hint(allow_local))
    scheme = clone_url.partition("://")[0].lower() if "://" in clone_url else ""
    if scheme in {"https", "http"}:
        return _parse_http(clone_url, allow_local=allow_local)
    if scheme == "file" or clone_url.startswith("/"):
        if not allow_local:
            raise GitError(
                f"the repository {clone_url} is on this machine, which this project does not allow",
                hint="Allow local repositories for the project, or give it an https or ssh clone URL.",
            )
        if scheme and not clone_url.lower().startswith("file:///"):
            raise _unsupported(clone_url, allow_local=allow_local)
        return Source(clone_url, Transport.FILE)
    if _SSH_URL.fullmatch(clone_url) or (not scheme and _SCP_LIKE.fullmatch(clone_url)):
        return Source(clone_url, Transport.SSH)
    raise _unsupported(clone_url, allow_local=allow_local)


def check_object_id(value: str) -> str:
    """Return the full object id in lower case, or refuse whatever else it is."""
    lowered = value.lower()
    if not _OBJECT_ID.fullmatch(lowered):
        raise GitError(
            f"{value[:80]!r} is not a full commit id", hint="Give all 40 (or, for SHA-256, 64) hexadecimal digits."
        )
    return lowered


def full_ref_names(ref: str) -> tuple[str, ...]:
    """List the full names that a ref may stand for, likeliest first: `main` is a branch before it is a tag."""
    if not ref or len(ref) > _MAX_REF or _REF_REFUSED.search(ref):
        raise GitError(f"{ref[:80]!r} is not a valid ref name", hint="Give a branch, a tag or a full name: refs/...")
    if ref == "HEAD" or ref.startswith("refs/"):
        return (ref,)
    return (f"refs/heads/{ref}", f"refs/tags/{ref}")


def _parse_http(clone_url: str, *, allow_local: bool) -> Source:
    try:
        parts = urlsplit(clone_url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _unsupported("the clone URL", allow_local=allow_local) from error
    bracketed = f"[{host}]" if ":" in host else host
    shown = f"{parts.scheme.lower()}://{bracketed}{f':{port}' if port else ''}{parts.path}"
    if not re.fullmatch(_HOST, bracketed) or parts.query or parts.fragment or " " in parts.path:
        raise _unsupported(shown, allow_local=allow_local)
    if parts.scheme.lower() == "http" and not (allow_local and _is_loopback(host)):
        raise GitError(f"{shown} is not encrypted", hint="Use an https clone URL.")
    transport = Transport(parts.scheme.lower())
    return Source(shown, transport, unquote(parts.username or ""), unquote(parts.password or ""))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unsupported(shown: str, *, allow_local: bool) -> GitError:
    without_credentials = re.sub(r"//[^/@]*@", "//***@", shown)
    return GitError(f"{without_credentials} is not a supported clone URL", hint=_url_hint(allow_local))


def _url_hint(allow_local: bool) -> str:
    return "Use https://host/path or git@host:path" + (", or an absolute path." if allow_local else ".")
