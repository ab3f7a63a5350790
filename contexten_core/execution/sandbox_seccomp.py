"""Which system calls a sandboxed program is refused: what it never needs, and what is not kept apart by namespaces."""

import errno
import platform
import struct
from collections.abc import Mapping
from functools import cache

_LOAD, _EQUAL, _GREATER, _AND_SET, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x3FFFFFFF

# Per name: the number on x86_64 and on aarch64; None where there is none.
_PRIVILEGED: Mapping[str, tuple[int | None, int | None]] = {
    # Keyrings belong to the user, not to the sandbox.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # New namespaces, mounts and roots.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    # The machine, its clock and its kernel.
    "acct": (163, 89),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "init_module": (175, 105),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "perf_event_open": (298, 241),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "userfaultfd": (323, 282),
    "vhangup": (153, 58),
}
# Refused as if this kernel did not have them, so that programs take their older way.
_UNKNOWN: Mapping[str, tuple[int | None, int | None]] = {
    # Its flags are behind a pointer, where a filter cannot look.
    "clone3": (435, 435),
    # It opens sockets past this filter.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # Memory that no process seems to hold.
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}
_CLONE, _SOCKET, _SHMGET, _IOCTL = (56, 220), (41, 198), (29, 194), (16, 29)
_NEW_NAMESPACES = 0x7E020080
_FAMILIES = (1, 2, 10, 16)
"""Unix, IPv4, IPv6 and netlink. A virtual machine's host listens on others, which belong to no network namespace."""

_SHARED_SEGMENT_BYTES = 65_536
_TERMINAL_INPUT = (0x5412, 0x541C)


@cache
def system_call_filter(machine: str = platform.machine()) -> bytes | None:
    """Return the filter as the kernel takes it, or None for a machine whose numbers are not known here."""
    if machine not in _ARCHITECTURES:
        return None
    column = list(_ARCHITECTURES).index(machine)
    program = [
        _load(_ARCHITECTURE_AT),
        # The same call has another number in another mode of the processor.
        _jump(_EQUAL, _ARCHITECTURES[machine], yes=1),
        _refuse(errno.ENOSYS),
        _load(_NUMBER_AT),
        _jump(_GREATER, _X32, no=1),
        _refuse(errno.ENOSYS),
    ]
    for calls, code in ((_PRIVILEGED, errno.EPERM), (_UNKNOWN, errno.ENOSYS)):
        for numbers in calls.values():
            number = numbers[column]
            if number is not None:
                program += [_jump(_EQUAL, number, no=1), _refuse(code)]
    program += _when(
        _CLONE[column], _load_argument(0), _jump(_AND_SET, _NEW_NAMESPACES, no=1), _refuse(errno.EPERM), _allow()
    )
    families = [_jump(_EQUAL, family, yes=len(_FAMILIES) - place) for place, family in enumerate(_FAMILIES)]
    program += _when(_SOCKET[column], _load_argument(0), *families, _refuse(errno.EAFNOSUPPORT), _allow())
    # Segments outlive the process that filled them, so they stay small.
    program += _when(
        _SHMGET[column],
        _load_argument(1, upper=True),
        _jump(_GREATER, 0, yes=2),
        _load_argument(1),
        _jump(_GREATER, _SHARED_SEGMENT_BYTES, no=1),
        _refuse(errno.ENOSPC),
        _allow(),
    )
    last = len(_TERMINAL_INPUT)
    requests = [_jump(_EQUAL, request, yes=last - place) for place, request in enumerate(_TERMINAL_INPUT)]
    program += _when(_IOCTL[column], _load_argument(1), *requests, _allow(), _refuse(errno.EPERM))
    return b"".join([*program, _allow()])


def _when(number: int, *steps: bytes) -> list[bytes]:
    """Return `steps`, which must end in verdicts, for one call alone. The call's number is loaded before."""
    return [_jump(_EQUAL, number, no=len(steps)), *steps]


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, offset)


def _load_argument(place: int, *, upper: bool = False) -> bytes:
    # Both machines are little-endian.
    return _load(_ARGUMENTS_AT + 8 * place + (4 if upper else 0))


def _jump(kind: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return _instruction(kind, value, yes, no)


def _refuse(code: int) -> bytes:
    return _instruction(_RETURN, _REFUSE | code)


def _allow() -> bytes:
    return _instruction(_RETURN, _ALLOW)


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
