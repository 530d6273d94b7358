"""Hostile image files, archives and folders: read, or refused with a reason."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hostile import damaged, file_names, names, parses_or_refuses, slow, written
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from concrete_study.datasets.archives import open_archive
from concrete_study.datasets.decoding import UnreadableImageError, decode_image, limit_pixels
from concrete_study.datasets.file_kinds import FORMATS, kind_of
from concrete_study.datasets.folders import read_folder
from concrete_study.datasets.measures import measure_images
from concrete_study.datasets.splits import SplitRow, read_split, write_split

MAGIC = (
    *(
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1\0\x10Exif\0\0",
        b"\x89PNG\r\n\x1a\n",
        b"BM",
        b"P6\n",
        b"P5 ",
    ),
    *(b"II*\0", b"MM\0*", b"GIF89a", b"RIFF\0\1\0\0WEBPVP8 ", b"RIFF\0\1\0\0WEBPVP8X"),
    *(b"\0\0\0\x20ftypavif", b"\0\0\0\x18ftypheic", b"\0\0\0\x0cjP  \r\n\x87\n", b"%!PS", b"8BPS"),
)


def encoded(kind: str, mode: str = "RGB") -> bytes:
    """A small image with EXIF."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((24, 16)).convert(mode).save(buffer, kind, exif=exif)
    return buffer.getvalue()


ORIGINALS = [encoded(kind) for kind in FORMATS] + [
    encoded("JPEG", "CMYK"),
    encoded("PNG", "P"),
    encoded("PNG", "I;16"),
    encoded("TIFF", "F"),
]
contents = st.one_of(
    st.tuples(st.sampled_from(MAGIC), st.binary(max_size=300)).map(b"".join),
    damaged(ORIGINALS),
)


@given(contents)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest resets our own filter
def test_any_image_file_is_decoded_or_refused(tmp_path: Path, content: bytes) -> None:
    path = written(tmp_path / "image", content)
    assert kind_of(path).is_image in (True, False)
    with parses_or_refuses():
        assert decode_image(path, 8).shape == (8, 8, 3)
    with parses_or_refuses():
        [measured] = measure_images({"": tmp_path}, [SplitRow("image", "a", "train", "", "")])
        assert measured.bytes == len(content)


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99)))


@pytest.mark.parametrize(
    "size", [(60_000, 60_000), (60_000, 5_001), (2**31 - 1, 1), (1, 2**31 - 1), (2**31 - 1,) * 2]
)
def test_an_image_that_claims_more_pixels_than_the_limit_is_refused(
    size: tuple[int, int], tmp_path: Path
) -> None:
    path = written(tmp_path / "a.png", huge_png(*size))
    with pytest.raises(UnreadableImageError, match="larger than 300 megapixels"):
        decode_image(path)


def test_the_limit_of_an_image_60000_pixels_wide_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("1", (60_000, 100)).save(path)
    assert decode_image(path, 8).shape == (8, 8, 3)
    limit_pixels(5)
    with pytest.raises(UnreadableImageError, match="larger than 5 megapixels"):
        decode_image(path)


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ARCHIVES = [zipped({"A/1.png": ORIGINALS[0] * 2, "B/2.png": b"x" * 99}, m) for m in METHODS]
entries = st.dictionaries(names.filter(bool), st.binary(max_size=9), min_size=1, max_size=4)


@slow(0.4)  # a folder is unpacked and synchronised with the disk
@given(st.one_of(damaged(ARCHIVES), entries.map(zipped)))
@example(zipped({"a": b"1", "a/b": b"2"}))
@example(zipped({"x" * 300: b"1"}))
@example(zipped({"a" * 100 + "/" + "b" * 4_000: b"1"}))
def test_any_zip_file_is_unpacked_into_its_folder_or_refused(content: bytes) -> None:
    with TemporaryDirectory() as temporary, pytest.MonkeyPatch.context() as patch:
        outer, cache = Path(temporary), Path(temporary, "inner", "cache")
        patch.setenv("STUDY_CACHE_DIR", str(cache))
        with parses_or_refuses():
            folder = open_archive(written(outer / "photos.zip", content))
            assert folder.is_relative_to(cache)
        written_files = {p for p in outer.rglob("*") if p.is_file() and p.suffix != ".lock"}
        inside = {p for p in written_files if p.is_relative_to(cache / "archives")}
        assert written_files - inside == {outer / "photos.zip"}
        assert not [p for p in inside if "." in p.relative_to(cache / "archives").parts[0]]


@slow(0.2)  # a folder is written, read and hashed
@given(st.lists(file_names, min_size=2, max_size=3, unique=True), file_names)
def test_a_folder_of_any_class_and_file_names_is_read_and_its_split_is_kept(
    classes: list[str], name: str
) -> None:
    with TemporaryDirectory() as temporary, parses_or_refuses():
        root, split = Path(temporary, "images"), Path(temporary, "split.csv")
        for label in classes:
            (root / label).mkdir(parents=True)
            written(root / label / f"{name}.png", ORIGINALS[1])
        folder = read_folder(root)
        rows = [SplitRow(i.file, i.label, "train", i.sha256, i.sha256) for i in folder.images]
        assert {row.label for row in rows} == {c for c in classes if not c.startswith((".", "_"))}
        write_split(split, rows)
        assert read_split(split) == rows
