"""Become one supervised command: set up its namespace, account and death signal, then replace this process with it.

Run by path under `python -I -S`, in place of a `preexec_fn`, which is unsafe in a process with threads. It may import
nothing but the standard library.

The first argument is a JSON object, the rest is the command. The object's keys: `parent` (pid of the supervisor),
`death_signal` (sent to the command when the supervisor dies; Linux), `account` ([uid, gid] or null), `mount` ([source,
target] of a bind mount that only this command sees, or null; Linux) and `cwd`.
"""

import ctypes
import json
import os
import signal
import sys
from typing import Any, NoReturn

CANNOT_PREPARE = 125
CANNOT_EXECUTE = 126

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNS = 0x00020000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SLAVE = 0x80000


def main(arguments: list[str]) -> NoReturn:
    order, command = json.loads(arguments[0]), arguments[1:]
    try:
        _prepare(order)
    except OSError as error:
        _fail(CANNOT_PREPARE, f"cannot prepare {command[0]}: {error}")
    if os.getppid() != order["parent"]:
        _fail(CANNOT_PREPARE, f"the supervisor ended before {command[0]} could start")
    try:
        os.execv(command[0], command)  # noqa: S606 - there is no shell to want
    except OSError as error:
        _fail(CANNOT_EXECUTE, f"cannot execute {command[0]}: {error.strerror}")


def _prepare(order: dict[str, Any]) -> None:
    # Python ignores some itself, and a shell may have ignored others; the command would inherit both.
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if order["mount"] is not None:
        _mount_privately(*order["mount"])
    if order["account"] is not None:
        uid, gid = order["account"]
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    os.chdir(order["cwd"])
    # The kernel forgets the death signal whenever the account changes, so it comes last.
    if sys.platform == "linux":
        _call("prctl", _PR_SET_PDEATHSIG, ctypes.c_ulong(order["death_signal"]))


def _mount_privately(source: str, target: str) -> None:
    if sys.platform != "linux":
        raise OSError(f"private mounts need Linux, this is {sys.platform}")
    _call("unshare", _CLONE_NEWNS)
    # What is mounted here stays here; what the system unmounts goes here as well, so that no disk is kept busy.
    _call("mount", b"none", b"/", None, ctypes.c_ulong(_MS_REC | _MS_SLAVE), None)
    _call("mount", os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(_MS_BIND), None)


def _call(function: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _fail(code: int, message: str) -> NoReturn:
    sys.stderr.write(f"contexten launcher: {message}\n")
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
