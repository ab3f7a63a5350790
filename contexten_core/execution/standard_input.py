"""What a command reads from its standard input."""

import fcntl
import os
import tempfile

from contexten_core.execution.sandbox import in_memory


def standard_input(content: bytes) -> int:
    """Return a descriptor, the caller's to close, from which a content is read to its end; nothing if it is empty.

    It is never a file or device of the machine's that a command could change.

    Raises:
        OSError: there is no memory, or no descriptor left.
    """
    if not content:
        reading, writing = os.pipe()
        os.close(writing)
        return reading
    if hasattr(os, "memfd_create"):
        # Sealed, since whoever holds it could open it again for writing, and fill memory that nobody counts.
        return in_memory(
            content, seals=fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        )
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return os.dup(file.fileno())
