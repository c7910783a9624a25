"""All tables of the database, whichever module of this room defines them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from app.base.db import Base

for _path in sorted(Path(__file__).parent.glob("models*.py")):
    import_module(f"{__package__}.{_path.stem}")

METADATA = Base.metadata
