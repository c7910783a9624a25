"""Workers' folders for labels in the open."""

from __future__ import annotations

from pathlib import Path

from app.base.vault import WORK, Vault


def test_a_workspace_of_a_killed_process_is_deleted_and_one_that_ends_meanwhile_is_passed_over(
    tmp_path: Path,
) -> None:
    """Of 600 steps on four workers seven failed, since a folder was gone between its listing and its lock."""
    place = tmp_path / "vault" / WORK
    (place / "killed").mkdir(parents=True)
    (place / "killed" / "solution.csv").write_text("id,y\n1,0\n")
    (place / "gone").symlink_to(tmp_path / "nowhere")
    with Vault(tmp_path / "vault").workspace() as folder:
        assert sorted(path.name for path in place.iterdir()) == sorted(["gone", folder.name])
        with Vault(tmp_path / "vault").workspace() as other:
            assert folder.exists()
            assert other != folder
    assert [path.name for path in place.iterdir()] == ["gone"]
