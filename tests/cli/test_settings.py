"""`xaiva settings`, also while the file is broken."""

from __future__ import annotations

from core.site import Site
from tests.cli.conftest import Xaiva


def test_lists_sets_and_resets(xaiva: Xaiva, small_site: Site) -> None:
    assert xaiva("settings", "set", "sync.retries", "9").out == "sync.retries = 9 (site.toml)\n"
    result = xaiva("settings", "list")
    assert result.code == 0
    (row,) = [line.split()[:4] for line in result.out.splitlines() if line.startswith("sync.retries")]
    assert row == ["sync.retries", "9", "site.toml", "6"]
    assert xaiva("settings", "reset", "sync.retries").out == "sync.retries = 6 (default)\n"


def test_a_broken_file_is_listed_with_the_line_of_each_problem(xaiva: Xaiva, small_site: Site) -> None:
    (small_site.root / "site.toml").write_text("[sync]\nretries = 900\nwrong = 1\n")
    result = xaiva("settings", "list")
    assert result.code == 3
    assert "site.toml, line 2: sync.retries: " in result.err
    assert "site.toml, line 3: sync.wrong: there is no such key" in result.err
    assert xaiva("settings", "reset", "sync.wrong").out == "sync.wrong: removed\n"
    assert xaiva("settings", "set", "sync.retries", "9").code == 0
    assert xaiva("preset", "list").code == 0


def test_secrets_are_not_shown(xaiva: Xaiva, small_site: Site) -> None:
    (small_site.root / ".env").write_text("ACME_TOKEN=hunter2hunter2\n")
    (small_site.root / "site.toml").write_text(
        '[sync.mirrors]\n"https://a.example/" = "https://bob:hunter2@b.example/"\n'
    )
    for words in (["settings", "list"], ["settings", "list", "--json"]):
        result = xaiva(*words)
        assert "hunter2" not in result.out + result.err
        assert "ACME_TOKEN" in result.out
