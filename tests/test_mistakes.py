import pytest
from mistakes import MISTAKES, ROOT, Mistake


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: f"{one.file}: {one.new[:40]}")
def test_what_a_mistake_replaces_stands_once_in_its_file_and_its_tests_exist(mistake: Mistake) -> None:
    """What each mistake turns red is tried by `python tests/mistakes.py`."""
    assert mistake.planted(ROOT) != (ROOT / mistake.file).read_text(encoding="utf-8")
    assert all((ROOT / test).exists() for test in mistake.tests.split())
