"""Run the `heldout` command with `python -m app`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> None:
    """Run the command, or name the extra it needs.

    `pip install heldout` without extras brings what `scorer` needs and no more.
    """
    try:
        from app.cli.main import main as command
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name in ("app", "scorer", "worker") or name in sys.stdlib_module_names:
            raise
        advice = "the platform needs the extra: pip install '.[server]' in a clone"
        sys.exit(f"heldout: {name} is not installed; {advice}")
    command()


if __name__ == "__main__":
    # `python -m` puts the current folder first, whose modules are not ours unless it is the clone.
    here = Path.cwd()
    if not sys.flags.safe_path and Path(__file__).resolve().parents[1] != here.resolve():
        sys.path[:] = [folder for folder in sys.path if folder not in ("", str(here))]
    main()
