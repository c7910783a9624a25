"""Run by Alembic, with the connection of app.migrations.upgrade."""

from __future__ import annotations

from alembic import context

from app.base.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,  # SQLite changes a table by copying it
)
context.run_migrations()
