"""The bytes of an exported file, and how to see that they are those that were checked. Free of torch and onnx.

The file ends with a seal: the SHA-256 of all bytes before it, as one more entry of the metadata. Protocol buffers allow
that, since two messages in a row are read as one, and a reader without their library can compare.
https://protobuf.dev/programming-guides/encoding/#last-one-wins
"""

import hashlib
from pathlib import Path

from jersey.core.errors import UserError

KEY = b"sha256"
_DIGEST_BYTES = 64  # in hex
_ENTRY = b"\x0a" + bytes([len(KEY)]) + KEY + b"\x12" + bytes([_DIGEST_BYTES])  # StringStringEntryProto: key and value
_SEAL = b"\x72" + bytes([len(_ENTRY) + _DIGEST_BYTES]) + _ENTRY  # field 14 of ModelProto: metadata_props


def sealed(content: bytes) -> bytes:
    """A serialized ModelProto with its seal."""
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode()


def read_sealed(path: Path) -> bytes:
    """The file's content.

    Raises:
        UserError: it cannot be read, is not whole, is not from jersey, or is not as jersey wrote it.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the model {path} ({error.strerror}); name one that a run has exported") from None
    body, seal = content[: -len(_SEAL) - _DIGEST_BYTES], content[-len(_SEAL) - _DIGEST_BYTES :]
    if not body or not seal.startswith(_SEAL):
        raise UserError(
            f"{path} is no model that jersey has exported, or not all of it: it does not end with jersey's seal; "
            "copy it again from the run, or export it again"
        )
    if hashlib.sha256(body).hexdigest().encode() != seal[len(_SEAL) :]:
        raise UserError(f"{path} was changed after its export: its SHA-256 is not the one in its seal; copy it again")
    return content
