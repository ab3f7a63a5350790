"""The walls that commands run behind: which ones this machine can put up, and what keeps it from better ones."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path

from contexten_core.execution.sandbox_mounts import (
    NOTHING_IN_COMMON,
    CommonFiles,
    common_files,
    kernel_mounts,
    make_devices,
    own_mounts,
)
from contexten_core.execution.sandbox_seccomp import system_call_filter
from contexten_core.security.text import one_line

STANDARD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TRIAL_SECONDS = 20
_TRIAL_BYTES = 1_048_576
_TRIAL = "open('/dev/null', 'w').close(); open('/work/code/file', 'w').close(); print('inside')"
DEVICES = "devices"
"""The folder beside a command's home with devices of its own, where there is one."""

_REASON_LENGTH = 300
_WALLS = (
    *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try"),
    *("--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--cap-drop", "ALL"),
    *("--new-session", "--die-with-parent", "--as-pid-1", "--chdir", "/"),
)


class SandboxLevel(StrEnum):
    """How strong the walls around a command are."""

    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A way to run commands.

    Attributes:
        level: how strong it is.
        reason: why it is not stronger, or None when it is as strong as can be.
        hint: what to do about that.
        program: bubblewrap and the walls that it puts up; empty without it.
        common: what every command may read.
    """

    level: SandboxLevel
    reason: str | None = None
    hint: str | None = None
    program: tuple[str, ...] = field(default=(), repr=False)
    common: CommonFiles = field(default=NOTHING_IN_COMMON, repr=False)

    def around(self, *, code: Path, home: Path, temporary_bytes: int, in_memory: Callable[[bytes], int]) -> list[str]:
        """Return the command line after which a program's own goes. Its folder is then `CODE`, its home `HOME`.

        Args:
            code: the folder that it may write to.
            home: another one. Beside it a folder with devices may be made, for the caller to remove.
            temporary_bytes: how much its temporary files may take.
            in_memory: makes a descriptor, to be inherited, from which its content can be read.
        """
        arguments = [
            *self.program,
            *kernel_mounts(temporary_bytes=temporary_bytes, devices=make_devices(home.with_name(DEVICES))),
            *self.common.mounts,
        ]
        for place, content in self.common.files:
            arguments += ["--perms", "0444", "--file", str(in_memory(content)), place]
        arguments += own_mounts(code=code, home=home)
        rules = system_call_filter()
        return arguments if rules is None else [*arguments, "--seccomp", str(in_memory(rules))]


def in_memory(content: bytes, *, seals: int = 0) -> int:
    """Return a descriptor of a file without a name, at its beginning; the caller's to close.

    Args:
        seals: what nobody may do to it any more, as `fcntl.F_ADD_SEALS` takes it.
    """
    descriptor = os.memfd_create("contexten", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        written = 0
        while written < len(content):
            written += os.pwrite(descriptor, content[written:], written)
        if seals:
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


NO_SANDBOX = Sandbox(SandboxLevel.NONE)


@cache
def find_sandbox(*, shown: tuple[Path, ...] = (), hidden: tuple[Path, ...] = ()) -> Sandbox:
    """Return the strongest sandbox that really works here; tried once per process, which takes some 20 ms.

    Args:
        shown: folders that commands may read besides the system's and this Python's, such as /opt/node.
        hidden: folders never to show, even where they lie inside of one that is shown, such as CONTEXTEN_HOME.
    """
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return _none("this system is not Linux 5.3 or newer", hint="run the service on a newer Linux")
    program = shutil.which("bwrap", path=STANDARD_PATH)
    if program is None:
        return _none("bubblewrap is not installed", hint=_INSTALL)
    try:
        common = common_files(shown=shown, hidden=hidden)
    except OSError as error:
        return _none(f"what commands are to read cannot be read: {error}", hint="look at the folder's permissions")
    failure = None
    # What the first flag forbids, the filter of system calls forbids as well; bubblewrap before 0.8 does not have it.
    for flags in (("--disable-userns",), ()):
        found = Sandbox(SandboxLevel.BUBBLEWRAP, program=(program, *_WALLS, *flags), common=common)
        failure = _try(found)
        if failure is None:
            return found
    return _none(f"bubblewrap is installed but does not work here: {failure}", hint=_ALLOW)


def _none(reason: str, *, hint: str) -> Sandbox:
    return Sandbox(SandboxLevel.NONE, reason=reason, hint=hint)


_INSTALL = "install the package `bubblewrap` (apt, dnf, pacman, apk), then start the service again"
_ALLOW = (
    "allow user namespaces to this account (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
    "kernel.apparmor_restrict_unprivileged_userns); in Docker start the container with "
    "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined`"
)


def _try(sandbox: Sandbox) -> str | None:
    """Run this Python inside, and return what went wrong, if anything did."""
    with tempfile.TemporaryDirectory(prefix="contexten-") as folder:
        place = Path(folder)
        for name in ("code", "home"):
            (place / name).mkdir()
        handed: list[int] = []

        def keep(content: bytes) -> int:
            handed.append(in_memory(content))
            return handed[-1]

        try:
            walls = sandbox.around(
                code=place / "code", home=place / "home", temporary_bytes=_TRIAL_BYTES, in_memory=keep
            )
            tried = subprocess.run(
                [*walls, "--", sys.executable, "-I", "-S", "-c", _TRIAL],
                env={},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                pass_fds=handed,
                timeout=_TRIAL_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return one_line(str(error), _REASON_LENGTH)
        finally:
            for descriptor in handed:
                os.close(descriptor)
    if tried.returncode == 0 and tried.stdout == b"inside\n":
        return None
    return one_line(tried.stderr.decode(errors="replace"), _REASON_LENGTH) or f"exit code {tried.returncode}"
