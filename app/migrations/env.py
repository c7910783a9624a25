"""Run by Alembic, with the connection of app.migrations.upgrade."""

from __future__ import annotations

from alembic import context

from app.base import models, models_drafts, models_messages, models_roles, models_rules, models_teams  # noqa: F401  they fill the metadata
from app.base.db import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
)
context.run_migrations()
