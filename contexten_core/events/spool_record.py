"""A delivery as the content of one record of the spool, and back."""

import json
import struct
from dataclasses import fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from contexten_core.errors import ConfigurationError
from contexten_core.events.delivery import Delivery
from contexten_core.events.models import EventProvider
from contexten_core.events.spool import Record, mark_of
from contexten_core.security.encryption import Vault

_LENGTHS: Final = struct.Struct(">Ii")
_IS_BODY: Final = -1
_PLAIN: Final = b"\x01"
_ENCRYPTED: Final = b"\x02"
_SAID: Final = tuple(field.name for field in fields(Delivery) if field.name not in {"body", "key"})


class UnreadableRecordError(ConfigurationError):
    """A record that was written whole says nothing that this version, or this key, can read."""


def record_of(delivery: Delivery, *, vault: Vault | None) -> Record:
    """Return a delivery as a record; with a vault, nothing of it can be read without the key.

    Raises:
        ValueError, RecursionError: the payload is nothing that JSON can say.
        ConfigurationError: there is no usable key.
    """
    said = {name: getattr(delivery, name) for name in _SAID} | {"headers": dict(delivery.headers)}
    head = json.dumps(said, default=str, separators=(",", ":")).encode()
    is_body = delivery.key == delivery.body
    key = b"" if is_body else delivery.key
    content = _LENGTHS.pack(len(head), _IS_BODY if is_body else len(key)) + head + key + delivery.body
    content = _PLAIN + content if vault is None else _ENCRYPTED + vault.encrypt(content)
    return Record(mark_of(delivery.provider, delivery.digest), delivery.event_id, content)


def delivery_of(record: Record, *, vault: Vault) -> Delivery:
    """Return the delivery that `record_of` was given.

    Raises:
        UnreadableRecordError: that is not possible.
    """
    try:
        content = record.content[1:]
        if record.content[:1] == _ENCRYPTED:
            content = vault.decrypt(content)
        head_length, key_length = _LENGTHS.unpack_from(content)
        key_start = _LENGTHS.size + head_length
        body_start = key_start + max(key_length, 0)
        body = content[body_start:]
        said: dict[str, Any] = json.loads(content[_LENGTHS.size : key_start])
        said["provider"] = EventProvider(said["provider"])
        said["event_id"] = UUID(str(said["event_id"]))
        said["received_at"] = datetime.fromisoformat(said["received_at"])
        return Delivery(**said, body=body, key=body if key_length == _IS_BODY else content[key_start:body_start])
    except (ValueError, KeyError, TypeError, struct.error, ConfigurationError) as error:
        raise UnreadableRecordError(
            f"the spooled delivery {record.event_id} cannot be read: {type(error).__name__}",
            hint="was SECRET_KEY another when it was spooled, or the program newer?",
        ) from error
