"""The exported file: its checksum, and the place of the one that the package contains.

The file ends with a checksum: the SHA-256 of all bytes before it, as an additional metadata entry. Protocol buffers
allow this, since concatenated messages are parsed as one, and it can be verified without their library.
https://protobuf.dev/programming-guides/encoding/#last-one-wins
"""

import hashlib
import shlex
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


def read_verified(path: Path, *, foreign: str = "use the model.onnx of a run, and copy all of it") -> bytes:
    """Reads a file.

    Args:
        path: path of the file.
        foreign: what to do if jersey did not write it.

    Returns:
        The serialized ModelProto.

    Raises:
        UserError: the file cannot be read, is incomplete, or is not as jersey wrote it.
    """
    restore = _restore_reader() if path.absolute() == READER else ""
    try:
        content = path.read_bytes()
    except OSError as error:
        remedy = restore or "use one that a run has exported"
        raise UserError(f"cannot read the model {path} ({error.strerror}); {remedy}") from None
    body, checksum = content[: -len(_CHECKSUM) - _DIGEST_BYTES], content[-len(_CHECKSUM) - _DIGEST_BYTES :]
    if not body or not checksum.startswith(_CHECKSUM):
        what = f"{path} is not a model that jersey has exported, or is incomplete: it does not end with a checksum"
        raise UserError(f"{what}; {restore or foreign}")
    if hashlib.sha256(body).hexdigest().encode() != checksum[len(_CHECKSUM) :]:
        what = f"{path} was changed after its export: its SHA-256 is not that of its checksum"
        raise UserError(f"{what}; {restore or 'copy it again from the run'}")
    return content


def _restore_reader() -> str:
    """Returns how to restore the reader: an installation of a checkout uses the checkout's own file."""
    checkout = READER.parents[2]
    if (checkout / ".git").exists():
        return f"run `git -C {shlex.quote(str(checkout))} checkout {READER.relative_to(checkout).as_posix()}`"
    return "install jersey again"
