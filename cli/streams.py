"""Standard streams that are closed, or cannot print every character."""

import codecs
import io
import os
import sys

_ESCAPE = "study-escape"
_REPLACED = {"→": ">"}  # one character, so that columns stay aligned


def prepare_streams() -> None:
    """Opens closed streams on nothing, and escapes characters that an encoding does not have.

    Python sets a stream to None if the shell closed it (`>&-`), and the next file that is opened
    takes its descriptor: TensorFlow's messages would be written into a result.
    """
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
    codecs.register_error(_ESCAPE, _escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPE)


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""`\u00fc` for `ü`, as JSON has it."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(_REPLACED.get(c) or _escaped(c) for c in characters), error.end


def _escaped(character: str) -> str:
    code = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{code[start : start + 4]}" for start in range(0, len(code), 4))
