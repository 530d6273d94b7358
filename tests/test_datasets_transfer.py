import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_server import Answer, FileServer, serving

from concrete_study.datasets.errors import ResourceError
from concrete_study.datasets.transfer import MEGABYTE, Patience, transfer

CONTENT = os.urandom(3 * MEGABYTE + 5)
HASTE = Patience(silence=20, tries=2, pause=0)


class Listener:
    """Keeps what it is told; can be interrupted as by Ctrl-C at the first megabyte."""

    def __init__(self, *, interrupt: bool = False) -> None:
        self.interrupt = interrupt
        self.messages: list[str] = []
        self.counted: list[tuple[str, int, int]] = []

    def log(self, text: str) -> None:
        self.messages.append(text)

    @contextmanager
    def counting(
        self, what: str, total: int, unit: str = "images"
    ) -> Iterator[Callable[[int], None]]:
        done = [0]

        def count(number: int) -> None:
            done[0] += number
            if number and self.interrupt:
                raise KeyboardInterrupt

        try:
            yield count
        finally:
            self.counted.append((f"{what} ({unit})", total, done[0]))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "file.rar.part"


def test_a_file_arrives_whole_and_its_megabytes_are_counted(server: FileServer, part: Path) -> None:
    told = Listener()
    transfer(server.url, part, len(CONTENT), told, patience=HASTE)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert (told.messages, told.counted) == ([], [("fetching file.rar (MB)", 3, 3)])


def test_after_a_break_only_the_rest_is_asked_for(server: FileServer, part: Path) -> None:
    server.answers = [Answer.BREAK, Answer.BREAK]
    told = Listener()
    transfer(server.url, part, len(CONTENT), told, patience=HASTE)
    assert part.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    three_quarters = half + (len(CONTENT) - half) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={three_quarters}-"]
    assert len(told.messages) == 2
    assert told.messages[0].startswith("Broken off after 1.5 MB (")
    assert told.counted[1][0] == "fetching file.rar from 2 MB on (MB)"


def test_what_an_interrupt_leaves_is_the_beginning_of_the_next_call(
    server: FileServer, part: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        transfer(server.url, part, len(CONTENT), Listener(interrupt=True), patience=HASTE)
    assert capfd.readouterr() == ("", "")  # pycurl prints what gets past a callback
    present = part.stat().st_size
    assert MEGABYTE <= present < len(CONTENT)
    transfer(server.url, part, len(CONTENT), Listener(), patience=HASTE)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={present}-"]


def test_a_whole_file_is_not_asked_for_again(server: FileServer, part: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    transfer(server.url, part, len(CONTENT), Listener())
    assert server.ranges == []


def test_a_beginning_that_is_too_long_is_thrown_away(server: FileServer, part: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(CONTENT + b"more")
    transfer(server.url, part, len(CONTENT), Listener())
    assert part.read_bytes() == CONTENT


def test_a_server_that_falls_silent_is_given_up_and_what_came_stays(
    server: FileServer, part: Path
) -> None:
    server.answers = [Answer.STALL, Answer.SILENCE]
    with pytest.raises(ResourceError, match=r"nothing came for 0\.2 seconds") as caught:
        transfer(
            server.url, part, len(CONTENT), Listener(), patience=Patience(0.2, tries=1, pause=0)
        )
    present = len(CONTENT) // 2
    assert part.read_bytes() == CONTENT[:present]
    assert caught.value.expected == f"Expected {len(CONTENT):,} bytes; received {present:,} so far."
    assert caught.value.hint.startswith("the same command again, which goes on from there.")


def test_tries_count_only_while_nothing_new_arrives(server: FileServer, part: Path) -> None:
    server.answers = [Answer.BREAK] * 5 + [Answer.BUSY] * 2
    with pytest.raises(ResourceError, match=r"broke off: .*503"):
        transfer(server.url, part, len(CONTENT), Listener(), patience=HASTE)
    assert len(server.ranges) == 7


@pytest.mark.parametrize("refusal", [Answer.NO_RANGES, Answer.REFUSED_RANGE])
def test_without_ranges_it_starts_from_the_beginning(
    refusal: Answer, server: FileServer, part: Path
) -> None:
    server.answers = [Answer.BREAK, refusal, Answer.NO_RANGES]
    told = Listener()
    transfer(server.url, part, len(CONTENT), told, patience=HASTE)
    assert part.read_bytes() == CONTENT
    assert told.messages[1:] == ["The server cannot resume: starting from the beginning."]
    assert server.ranges[1:] == [f"bytes={len(CONTENT) // 2}-", None]


def test_without_ranges_a_line_that_always_breaks_is_given_up(
    server: FileServer, part: Path
) -> None:
    server.answers = [Answer.NO_RANGES_AND_BREAK] * 20
    with pytest.raises(ResourceError, match="broke off"):
        transfer(server.url, part, len(CONTENT), Listener(), patience=HASTE)
    assert len(server.ranges) < 10


@pytest.mark.parametrize(
    ("answers", "size"),
    [
        ([Answer.PAGE], len(CONTENT)),
        ([Answer.RANGES], len(CONTENT) - 1),
        ([Answer.BREAK, Answer.RANGES], len(CONTENT) - 1),
    ],
)
def test_a_file_of_another_size_is_refused_and_removed(
    answers: list[Answer], size: int, server: FileServer, part: Path
) -> None:
    server.answers = answers
    with pytest.raises(ResourceError, match="another file, which was removed") as caught:
        transfer(server.url, part, size, Listener(), patience=HASTE)
    assert not part.exists()
    assert server.url in caught.value.hint


def test_more_than_the_file_is_not_even_fetched(server: FileServer, part: Path) -> None:
    told = Listener()
    with pytest.raises(ResourceError) as caught:
        transfer(server.url, part, MEGABYTE, told)
    assert caught.value.expected == "Expected 1,000,000 bytes; received more than that."
    assert told.counted == [("fetching file.rar (MB)", 1, 0)]


def test_a_web_page_is_named_as_what_it_is(server: FileServer, part: Path) -> None:
    server.answers = [Answer.PAGE]
    with pytest.raises(ResourceError) as caught:
        transfer(server.url, part, len(CONTENT), Listener())
    assert caught.value.expected == "Expected 3,000,005 bytes; received 4 bytes (text/html)."


def test_a_redirect_is_followed_also_when_resuming(server: FileServer, part: Path) -> None:
    server.answers = [Answer.REDIRECT, Answer.BREAK, Answer.REDIRECT]
    transfer(server.url, part, len(CONTENT), Listener(), patience=HASTE)
    assert part.read_bytes() == CONTENT
    assert server.ranges == [None, None, *[f"bytes={len(CONTENT) // 2}-"] * 2]


def test_a_file_that_is_not_there_is_not_asked_for_again(server: FileServer, part: Path) -> None:
    server.answers = [Answer.MISSING]
    with pytest.raises(ResourceError, match=r"download failed: .*404") as caught:
        transfer(server.url, part, len(CONTENT), Listener(), patience=HASTE)
    assert len(server.ranges) == 1
    assert not part.exists()
    assert f"download {server.url} by hand" in caught.value.hint


def test_without_a_network_the_way_by_hand_is_named_at_once(part: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/file"
        with pytest.raises(ResourceError, match=r"download failed: .*connect") as caught:
            transfer(url, part, 10, Listener())
    assert caught.value.hint.endswith(
        f"download {url} by hand, in a browser, and give the file with --archive FILE."
    )


@pytest.mark.parametrize("url", ["file:///etc/hosts", "no address"])
def test_only_web_addresses_are_fetched(url: str, part: Path) -> None:
    with pytest.raises(ResourceError, match="download failed"):
        transfer(url, part, 10, Listener())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_named(server: FileServer, part: Path) -> None:
    part.parent.mkdir()
    part.symlink_to("/dev/full")
    with pytest.raises(ResourceError, match=r"no space left for .*file\.rar\.part") as caught:
        transfer(server.url, part, len(CONTENT), Listener(), patience=HASTE)
    assert "which goes on from there" in caught.value.hint
    assert len(server.ranges) == 1
