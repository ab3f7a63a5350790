"""The file of a backup: a zip archive with `manifest.json`, and one `tables/NAME.jsonl` for each table.

A table's file holds one row a line, in the order of the rows' ids. An archive that is read comes from outside: it may
be truncated, damaged, or made to do harm. It is never unpacked, only read through, one line at a time.
"""

import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, Final, Literal, NoReturn
from uuid import UUID

import pydantic
from pydantic import AwareDatetime, ConfigDict, Field, ValidationError

from contexten_core.db.portable import PortableTable
from contexten_core.errors.base import ContextenError, NotFoundError

FORMAT: Final = "contexten-backup"
VERSION: Final = 1
# A delivery of GitHub's largest size takes about 60 MB: its bytes in base64, and the same parsed.
LONGEST_LINE: Final = 128 * 1024 * 1024
_MANIFEST: Final = "manifest.json"
_LARGEST_MANIFEST: Final = 1_000_000
_MOST_MEMBERS: Final = 1_000
_ENCRYPTED: Final = 0x1
_BUFFER: Final = 64 * 1024
_Count = Annotated[int, Field(ge=0, le=2**63 - 1)]


class BackupError(ContextenError):
    """A backup that could not be written, or a file that is not a backup which can be restored."""

    code = "backup"
    status = 422


class Contents(pydantic.BaseModel):
    """What the archive holds of one table; the checksum is that of its lines."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rows: _Count
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(pydantic.BaseModel):
    """What an archive says of itself.

    Attributes:
        contexten: the version that made it.
        revision: what the tables were like.
        dialect: the database that it was made from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    format: Literal["contexten-backup"] = FORMAT
    version: Annotated[int, Field(ge=1)] = VERSION
    contexten: str = Field(max_length=100)
    revision: str = Field(pattern="^[0-9A-Za-z_]{1,64}$")
    dialect: Literal["sqlite", "postgresql"]
    created_at: AwareDatetime
    tables: dict[str, Contents]

    @property
    def rows(self) -> int:
        return sum(contents.rows for contents in self.tables.values())


class ArchiveWriter:
    """Writes an archive, table by table; `finish` comes last. See `new_archive`."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._zip = archive

    def add(self, table: PortableTable, lines: Iterable[bytes]) -> Contents:
        rows, digest = 0, hashlib.sha256()
        with self._zip.open(_member(table.name), "w", force_zip64=True) as member:
            for line in lines:
                if len(line) > LONGEST_LINE:
                    raise BackupError(
                        f"a row of {table.name} takes {len(line):,} bytes, more than the {LONGEST_LINE:,} of a backup",
                        hint=f"it is the row {line[-200:]!r}; remove it, or what is so large in it",
                    )
                member.write(line)
                digest.update(line)
                rows += 1
        return Contents(rows=rows, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> None:
        self._zip.writestr(_MANIFEST, manifest.model_dump_json(indent=2))


class ArchiveReader:
    """An archive whose manifest has been read; its tables are looked at by `verify`."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._zip = archive
        self.manifest = self._read_manifest()

    def verify(self, tables: Sequence[PortableTable]) -> None:
        """Read everything once, and make sure that it is what the manifest says, and rows of these tables.

        Raises:
            BackupError: it is not.
        """
        expected = {table.name for table in tables}
        if self.manifest.tables.keys() != expected:
            odd = sorted(self.manifest.tables.keys() ^ expected)
            self._refuse(f"its tables are not those of revision {self.manifest.revision}: {', '.join(odd)[:200]}")
        members = sorted(info.filename for info in self._zip.infolist())
        if members != sorted([_MANIFEST, *map(_member, expected)]):
            self._refuse("it holds other files than its manifest says")
        for table in tables:
            self._verify(table, self.manifest.tables[table.name])

    def lines(self, table: PortableTable) -> Iterator[bytes]:
        """Yield the lines of a table."""
        with self._reading(), self._zip.open(_member(table.name)) as member:
            buffered = io.BufferedReader(member, _BUFFER)  # type: ignore[type-var] # it has `readinto`
            while line := buffered.readline(LONGEST_LINE + 1):
                if len(line) > LONGEST_LINE:
                    self._refuse(f"a line of {table.name} is longer than {LONGEST_LINE:,} bytes")
                yield line

    def _verify(self, table: PortableTable, contents: Contents) -> None:
        digest, last = hashlib.sha256(), UUID(int=0)
        rows = 0
        for rows, line in enumerate(self.lines(table), start=1):
            try:
                row_id = table.row(line)["id"]
            except ValueError as error:
                self._refuse(f"line {rows} of {table.name} is not one of its rows: {error}")
            if row_id <= last:
                self._refuse(f"line {rows} of {table.name} is out of order")
            if rows > contents.rows:
                self._refuse(f"{table.name} has more rows than the {contents.rows:,} of its manifest")
            last = row_id
            digest.update(line)
        if rows < contents.rows:
            self._refuse(f"{table.name} has {rows:,} rows, not the {contents.rows:,} of its manifest")
        if digest.hexdigest() != contents.sha256:
            self._refuse(f"the checksum of {table.name} is not that of its manifest")

    def _read_manifest(self) -> Manifest:
        with self._reading():
            members = self._zip.infolist()
            if len(members) > _MOST_MEMBERS or not all(_is_plain(info) for info in members):
                self._refuse("it is an archive of something else")
            if _MANIFEST not in self._zip.namelist():
                self._refuse(f"it has no {_MANIFEST}")
            with self._zip.open(_MANIFEST) as member:
                text = member.read(_LARGEST_MANIFEST + 1)
        if len(text) > _LARGEST_MANIFEST:
            self._refuse(f"its {_MANIFEST} is larger than {_LARGEST_MANIFEST:,} bytes")
        try:
            manifest = Manifest.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
            place = ".".join(str(part) for part in problem["loc"])[:100]
            self._refuse(f"its {_MANIFEST} is damaged: {place}: {problem['msg']}")
        if manifest.version > VERSION:
            raise BackupError(
                f"{self._path} has the form {manifest.version}, and this Contexten knows form {VERSION} only",
                hint=f"restore it with Contexten {manifest.contexten}, which made it, or newer",
            )
        return manifest

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            self._refuse(str(error) or type(error).__name__)

    def _refuse(self, reason: str) -> NoReturn:
        raise refusal(self._path, reason)


@contextmanager
def new_archive(file: IO[bytes]) -> Iterator[ArchiveWriter]:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        yield ArchiveWriter(archive)


@contextmanager
def open_archive(path: Path) -> Iterator[ArchiveReader]:
    """Open an archive to be read.

    Raises:
        NotFoundError: there is no such file.
        BackupError: it is not an archive of ours, is one of a newer form, or cannot be read.
    """
    if not path.exists():
        raise NotFoundError(f"there is no file {path}", hint="`contexten db backup FILE` makes one")
    try:
        file = path.open("rb") if path.is_file() else None
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}", hint="look at its permissions") from error
    if file is None:
        raise refusal(path, "it is not a file")
    with file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, ValueError) as error:
            raise refusal(path, str(error) or type(error).__name__) from error
        with archive:
            yield ArchiveReader(path, archive)


def refusal(path: Path, reason: str) -> BackupError:
    return BackupError(
        f"{path} is not a backup that can be restored: {reason}",
        hint="it is damaged or incomplete, or no backup of Contexten; nothing was changed",
    )


def _is_plain(info: zipfile.ZipInfo) -> bool:
    return not info.flag_bits & _ENCRYPTED and info.compress_type in {zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED}


def _member(table: str) -> str:
    return f"tables/{table}.jsonl"
