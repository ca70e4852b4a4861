import json
import os
import re
import shutil

import pytest


@pytest.fixture(scope="session")
def program():
    """Finder of a program: its path; in CI it must be there, elsewhere the test is skipped."""

    def find(*names):
        found = next((path for path in map(shutil.which, names) if path), None)
        if found is None and os.environ.get("CI") == "true":
            pytest.fail(f"{names[0]} is required in CI and not installed")
        if found is None:
            pytest.skip(f"{names[0]} is not installed")
        return found

    return find


@pytest.fixture(scope="session")
def page_data(page_file):
    """What the page holds, as a reader's browser parses it."""
    text = page_file.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found.group(1))
