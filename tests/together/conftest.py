"""What tests over several packages share: a site, made once for each pytest process."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.together.site import Site, a_site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Generator[Site]:
    """A manager, a connected node and three operators: see ``tests/together/site.py``."""
    with a_site(tmp_path_factory.mktemp("site")) as made:
        yield made
