"""RAR archives for tests: stored ones written here, and two tiny compressed ones."""

from base64 import b64decode
from collections.abc import Mapping
from zlib import crc32

# Made with a compressor of another author and tested with RARLAB's own unrar: solid, 3,600
# bytes in Negative/1.jpg and in Positive/1.jpg, each the class's name over and over.
COMPRESSED = {
    "rar4": b64decode(
        "UmFyIRoHADvQcwgADQAAAAAAAAAu53oAwCQAHAAAABwAAAAAYbehDAAAAAAdMAQAAAAAAFJBUlNyYXJzLzAuMTIu"
        "MwptYXJrZXItc2NoZW1hPTEKDhh0IIAuABwAAAAQDgAAAGb7CusAAAAAHTMOACAAAABOZWdhdGl2ZS8xLmpwZ6cY"
        "ThlNHxihkQ8KN7oQ4XxrhjO43s1yxgn2VACijHQwgC4ADwAAABAOAAAANEKGBgAAAAAdMw4AIAAAAFBvc2l0aXZl"
        "LzEuanBnh8DUTTIDeyY45lbsrD4A"
    ),
    "rar5": b64decode(
        "UmFyIRoHAQDc3l41AwEABJtSVFYRAwYcBBwAYbehDAAABFJBUlNyYXJzLzAuMTIuMwptYXJrZXItc2NoZW1hPTEK"
        "XqyeL0ECAyMbBJAcIGb7CuuAAwAOTmVnYXRpdmUvMS5qcGciAgDiiRk2kcBe69UgFFg28gaB4HpbLl34DXE2Ecul"
        "g0fzpMKAGDMCP7MkrlFkOcEIfkH+pS9V1eUI6ewFgIHq2CVBAgMjFASQHCA0QoYGwAMADlBvc2l0aXZlLzEuanBn"
        "IgIARaUN7xh4Cp2gOKhuzObAK3yzBJ2FLMpyatDhMR+4mb/FjhEDI/wiovhvUIL/KDK1qw+BUBmyOjUDBQAA"
    ),
}


def make_rar(files: Mapping[str, bytes]) -> bytes:
    """A RAR5 archive that stores `files` uncompressed."""
    blocks = [_block(1, flags=0, fields=_number(0))]
    blocks += [_member(name, content) for name, content in files.items()]
    return b"Rar!\x1a\x07\x01\x00" + b"".join(blocks) + _block(5, flags=0, fields=_number(0))


def _member(name: str, content: bytes) -> bytes:
    has_crc, regular_file, stored, unix = 4, 0o100644, 0, 1
    fields = _number(has_crc) + _number(len(content)) + _number(regular_file)
    fields += crc32(content).to_bytes(4, "little") + _number(stored) + _number(unix) + _text(name)
    return _block(2, flags=2, fields=_number(len(content)) + fields) + content


def _block(kind: int, *, flags: int, fields: bytes) -> bytes:
    header = _number(kind) + _number(flags) + fields
    header = _number(len(header)) + header
    return crc32(header).to_bytes(4, "little") + header


def _text(text: str) -> bytes:
    return _number(len(text.encode())) + text.encode()


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first, the eighth bit set on all but the last."""
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _number(high) if high else bytes([low])
