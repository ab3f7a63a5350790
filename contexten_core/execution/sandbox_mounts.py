"""What a sandboxed program sees of this machine's files."""

import marshal
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import MAGIC_NUMBER
from pathlib import Path

CODE = Path("/work/code")
HOME = Path("/work/home")
TEMPORARY = Path("/tmp")  # noqa: S108 - the sandbox's own
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the sandbox's own
INSIDE = Path("/work/start.pyc")
SHARED_MEMORY_BYTES = 256 * 1024**2

_SYSTEM = Path("/usr")
_BESIDE = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_FIRST_PROCESS = Path(__file__).with_name("sandbox_inside.py")
_OF_PYTHON = frozenset({"bin", "include", "lib", "lib64", "share", "pyvenv.cfg"})
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
# Of /etc only what programs need to start, to check certificates and to know the time; none of it is secret.
_FOLDERS = (
    "alternatives",
    "crypto-policies",
    "fonts",
    "java-*",
    "pki/ca-trust/extracted",
    "pki/tls/certs",
    "ssl/certs",
)
_FILES = (
    "ld.so.cache",
    "maven/m2.conf",
    "mime.types",
    "pki/tls/cert.pem",
    "pki/tls/openssl.cnf",
    "protocols",
    "services",
    "ssl/cert.pem",
    "ssl/openssl.cnf",
    "timezone",
)
_LINKS = ("localtime", "os-release")
_REST_OF_HEAD_BYTES = 12
_LARGEST_FILE_BYTES = 4 * 1024**2
_MADE_UP = {
    "passwd": b"root:x:0:0:root:/:/usr/sbin/nologin\nworker:x:1000:1000:worker:/work/home:/bin/sh\n",
    "group": b"root:x:0:\nworker:x:1000:\n",
    "hosts": b"127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
}


@dataclass(frozen=True, slots=True)
class CommonFiles:
    """What is the same for every command, none of which can be written to.

    Attributes:
        mounts: bubblewrap's arguments for folders and links.
        files: small files, which are copied: a tenth of the time that a mount takes.
    """

    mounts: tuple[str, ...]
    files: tuple[tuple[str, bytes], ...]


NOTHING_IN_COMMON = CommonFiles(mounts=(), files=())


def common_files(*, shown: Iterable[Path] = (), hidden: Iterable[Path] = ()) -> CommonFiles:
    """Look at this machine, and choose what every command may read.

    Args:
        shown: folders to show besides the system's and this Python's.
        hidden: folders to cover where they lie inside of one that is shown.
    """
    places = [_SYSTEM, *_python_folders(), *(folder.absolute() for folder in shown)]
    mounts = ["--dir", "/run", "--dir", "/var", "--symlink", str(TEMPORARY), "/var/tmp"]  # noqa: S108 - its own
    for place in [*places, *(Path("/") / name for name in _BESIDE), *_configuration(_FOLDERS)]:
        mounts += _as_it_is(place)
    for link in _configuration(_LINKS):
        if link.is_symlink() and link.resolve().is_relative_to(_SYSTEM):
            mounts += ["--symlink", str(link.resolve()), str(link)]
    for folder in hidden:
        if any(folder.absolute().is_relative_to(place) for place in places) and folder.is_dir():
            mounts += ["--tmpfs", str(folder.absolute()), "--remount-ro", str(folder.absolute())]
    files = [(str(INSIDE), _compiled(_FIRST_PROCESS))]
    files += [(f"/etc/{name}", content) for name, content in _MADE_UP.items()]
    for file in _configuration(_FILES):
        if file.is_file() and file.stat().st_size <= _LARGEST_FILE_BYTES:
            files.append((str(file), file.read_bytes()))
    return CommonFiles(mounts=tuple(mounts), files=tuple(files))


def _compiled(file: Path) -> bytes:
    """Return a module's byte code as in a file of its own, which is run in half the time; see PEP 552 for the head."""
    code = compile(file.read_bytes(), file.name, "exec", dont_inherit=True)
    return MAGIC_NUMBER + bytes(_REST_OF_HEAD_BYTES) + marshal.dumps(code)


def kernel_mounts(*, temporary_bytes: int, devices: Path | None) -> list[str]:
    """Return bubblewrap's arguments for what the kernel makes up for each command; they come first of all mounts."""
    arguments = ["--proc", "/proc", "--dev", "/dev"]
    if devices is not None:
        for name in _DEVICES:
            arguments += ["--dev-bind", str(devices / name), f"/dev/{name}"]
    for size, folder in ((temporary_bytes, TEMPORARY), (SHARED_MEMORY_BYTES, SHARED_MEMORY)):
        arguments += ["--perms", "1777", "--size", str(size), "--tmpfs", str(folder)]
    return arguments


def own_mounts(*, code: Path, home: Path) -> list[str]:
    """Return bubblewrap's arguments for what one command may write to, and for closing all the rest; they come last."""
    arguments = ["--bind", str(code.absolute()), str(CODE), "--bind", str(home.absolute()), str(HOME)]
    # A service that is root owns the kernel's settings, and an owner changes them without any capability.
    for closed in ("/", "/proc", "/dev"):
        arguments += ["--remount-ro", closed]
    return arguments


def make_devices(folder: Path) -> Path | None:
    """Make devices of a command's own in a new folder, if this account can and need be; None otherwise.

    Root owns the machine's devices, so a command of root's could take them away from everybody with a chmod.
    """
    if os.geteuid() != 0:
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        for name, numbers in _DEVICES.items():
            os.mknod(folder / name, stat.S_IFCHR | 0o666, os.makedev(*numbers))
            (folder / name).chmod(0o666)
    except PermissionError:
        # Root of a container only, to whom the devices do not belong.
        return None
    return folder


def _configuration(patterns: Sequence[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(Path("/etc").glob(pattern))]


def _python_folders() -> Iterator[Path]:
    """Name what belongs to this Python and its virtual environment; beside them may lie anything, such as a `.env`."""
    executable = Path(sys.executable)
    found = [Path(prefix) for prefix in (sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix)]
    found += [executable.parent.parent, executable.resolve().parent.parent]
    found += [prefix.resolve() for prefix in found]
    for prefix in dict.fromkeys(found):
        if prefix.is_relative_to(_SYSTEM) or prefix == Path("/"):
            continue
        if all(path.name in _OF_PYTHON or _is_empty(path) for path in prefix.iterdir()):
            yield prefix
        else:
            yield from (path for name in sorted(_OF_PYTHON) if (path := prefix / name).exists())


def _is_empty(path: Path) -> bool:
    state = path.lstat()
    return stat.S_ISREG(state.st_mode) and state.st_size == 0


def _as_it_is(path: Path) -> list[str]:
    if path.is_symlink() and path.parent == Path("/"):
        # As text: /bin leads to usr/bin.
        return ["--symlink", os.readlink(path), str(path)]  # noqa: PTH115
    return ["--ro-bind", str(path), str(path)] if path.exists() else []
