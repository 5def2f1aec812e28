"""Runs a small application on a Textual in which one name is another: `python -m tests.terminal.renamed NAME [LOG]`."""

from __future__ import annotations

import re
import sys
from importlib.machinery import SourceFileLoader
from types import CodeType

_NAME = re.compile(rf"\b{re.escape(sys.argv[1])}\b(?!\s+import)")
_get_code = SourceFileLoader.get_code


def _renamed(loader: SourceFileLoader, fullname: str) -> CodeType | None:
    """The code of a module of Textual or Rich with the name replaced; of all others as it is."""
    if not fullname.startswith(("textual.", "rich.")):
        return _get_code(loader, fullname)
    source = loader.get_data(loader.path).decode()
    if not _NAME.search(source):
        return _get_code(loader, fullname)
    return compile(_NAME.sub("renamed_by_textual", source), loader.path, "exec", dont_inherit=True)


if __name__ == "__main__":
    SourceFileLoader.get_code = _renamed  # type: ignore[method-assign]
    from tests.terminal.sample import Sample, run

    run(Sample("counting", sys.argv[2]))
