"""One browser for every test that looks at a page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.chromium import Page, chromium, find_chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    binary = find_chromium()
    if binary is None:
        pytest.skip("no Chromium on this machine")
    with chromium(binary) as page:
        yield page
