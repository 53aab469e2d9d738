"""The exported file: its checksum, and the place of the one that the package contains.

The file ends with a checksum: the SHA-256 of all bytes before it, as an additional metadata entry. Protocol buffers
allow this, since concatenated messages are parsed as one, and it can be verified without their library.
https://protobuf.dev/programming-guides/encoding/#last-one-wins
"""

import hashlib
from pathlib import Path

from jersey.core.errors import UserError

READER = Path(__file__).parents[1] / "inference" / "reader.onnx"
"""The pretrained reader of the package, which docs/reader.md describes."""

CHECKSUM_KEY = b"sha256"
_DIGEST_BYTES = 64  # 32 bytes as hexadecimal text
# The bytes before the digest: a StringStringEntryProto of key and value, as field 14 (metadata_props) of ModelProto.
_ENTRY = bytes([0x0A, len(CHECKSUM_KEY), *CHECKSUM_KEY, 0x12, _DIGEST_BYTES])
_CHECKSUM = bytes([0x72, len(_ENTRY) + _DIGEST_BYTES]) + _ENTRY


def with_checksum(content: bytes) -> bytes:
    """Returns a serialized ModelProto with its checksum appended."""
    return content + _CHECKSUM + hashlib.sha256(content).hexdigest().encode()


def read_verified(path: Path) -> bytes:
    """Reads a file; raises UserError if it cannot be read, is incomplete, or is not as jersey wrote it."""
    reinstall = "install jersey again" if path == READER else ""
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = reinstall or "use one that a run has exported"
        raise UserError(f"cannot read the model {path} ({error.strerror}); {remedy}") from None
    body, checksum = content[: -len(_CHECKSUM) - _DIGEST_BYTES], content[-len(_CHECKSUM) - _DIGEST_BYTES :]
    if not body or not checksum.startswith(_CHECKSUM):
        what = f"{path} is not a model that jersey has exported, or is incomplete: it does not end with a checksum"
        raise UserError(f"{what}; {reinstall or 'copy it again from the run, or export it again'}")
    if hashlib.sha256(body).hexdigest().encode() != checksum[len(_CHECKSUM) :]:
        what = f"{path} was changed after its export: its SHA-256 is not that of its checksum"
        raise UserError(f"{what}; {reinstall or 'copy it again'}")
    return content
