"""The exported file: its checksum, and the place of the one that the package contains.

The file ends with a checksum: the SHA-256 of all bytes before it, as an additional metadata entry. Protocol buffers
allow this, since concatenated messages are parsed as one, and it can be verified without their library.
https://protobuf.dev/programming-guides/encoding/#last-one-wins
"""

import hashlib
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from jersey.core.errors import UserError

READER = Path(__file__).parents[1] / "inference" / "reader.onnx"
"""The pretrained reader of the package, which docs/reader.md describes."""

CHECKSUM_KEY = b"sha256"
_DIGEST_BYTES = 64  # 32 bytes as hexadecimal text
# The bytes before the digest: a StringStringEntryProto of key and value, as field 14 (metadata_props) of ModelProto.
_ENTRY = bytes([0x0A, len(CHECKSUM_KEY), *CHECKSUM_KEY, 0x12, _DIGEST_BYTES])
_CHECKSUM = bytes([0x72, len(_ENTRY) + _DIGEST_BYTES]) + _ENTRY

MAX_BYTES = 2**31 - 1  # the limit of protocol buffers
MAX_METADATA_BYTES = 50_000_000  # a ResNet-152 has 2 MB
MAX_FIELDS = 1_000_000  # the file of a ResNet-152 has 10,000
# The messages of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto in which tensors are nested, by field number.
_NESTED = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
}
_METADATA, _EXTERNAL_DATA, _DATA_LOCATION = 14, 13, 14  # fields of a model, and of a tensor
_FIXED_BYTES = {1: 8, 5: 4}  # of wire types


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
    remedy = restore or "use one that a run has exported"
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:  # a pipe would block, a device never end
            what = "not a file" if found.st_size <= MAX_BYTES else f"larger than {MAX_BYTES:,} bytes"
            raise UserError(f"cannot read the model {path}, which is {what}; {remedy}")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the model {path} ({error.strerror}); {remedy}") from None
    body, checksum = content[: -len(_CHECKSUM) - _DIGEST_BYTES], content[-len(_CHECKSUM) - _DIGEST_BYTES :]
    if not body or not checksum.startswith(_CHECKSUM):
        what = f"{path} is not a model that jersey has exported, or is incomplete: it does not end with a checksum"
        raise UserError(f"{what}; {restore or foreign}")
    if hashlib.sha256(body).hexdigest().encode() != checksum[len(_CHECKSUM) :]:
        what = f"{path} was changed after its export: its SHA-256 is not that of its checksum"
        raise UserError(f"{what}; {restore or 'copy it again from the run'}")
    if why := _harm(content):  # a stranger can compute a checksum too
        raise UserError(f"{path} is not a model that jersey has exported: {why}; {restore or foreign}")
    return content


def _harm(content: bytes) -> str:
    """Returns what no exported file has, and a runtime must not open; empty for a harmless file."""
    metadata_bytes = fields = 0
    waiting = [("model", 0, len(content))]
    try:
        while waiting:
            message, *span = waiting.pop()
            for number, start, end in _fields(content, *span):
                fields += 1
                if fields > MAX_FIELDS:
                    return f"it has more than {MAX_FIELDS:,} fields"
                is_elsewhere = number == _DATA_LOCATION and _varint(content, start)[0] != 0
                if message == "tensor" and (number == _EXTERNAL_DATA or is_elsewhere):
                    return "it reads weights from other files"
                if message == "model" and number == _METADATA:
                    metadata_bytes += end - start
                elif nested := _NESTED.get(message, {}).get(number):
                    waiting.append((nested, start, end))
    except (ValueError, IndexError):
        return "it is not a protocol buffer"
    return f"it has {metadata_bytes:,} bytes of metadata" if metadata_bytes > MAX_METADATA_BYTES else ""


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields number, start and end of the value of each field of a message; raises an error if it is damaged.

    https://protobuf.dev/programming-guides/encoding
    """
    while at < end:
        tag, at = _varint(content, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 2:
            length, at = _varint(content, at)
        elif wire_type == 0:
            length = _varint(content, at)[1] - at
        else:
            length = _FIXED_BYTES.get(wire_type, end)  # other types are not used, and exceed the message
        if at + length > end:
            raise ValueError("the message ends within a field")
        yield number, at, at + length
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Returns a number of variable length, and the position after it."""
    value = shift = 0
    while content[at] & 0x80 and shift < 63:
        value |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | content[at] << shift, at + 1


def _restore_reader() -> str:
    """Returns how to restore the reader: an installation of a checkout uses the checkout's own file."""
    checkout = READER.parents[2]
    if (checkout / ".git").exists():
        return f"run `git -C {shlex.quote(str(checkout))} checkout {READER.relative_to(checkout).as_posix()}`"
    return "install jersey again"
