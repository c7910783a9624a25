"""One installation: its settings, and parts made on first use."""

from __future__ import annotations

from functools import cached_property

from app import migrations
from app.base import config, db, queue, storage, vault
from app.base.config import Settings
from app.base.db import Database
from app.base.queue import Hints
from app.base.storage import Storage
from app.base.vault import Vault


class Installation:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def database(self) -> Database:
        """Open the database; refuse one with another schema."""
        config.prepare_data_dir(self.settings)
        database = db.open_(self.settings)
        migrations.check(database)
        return database

    @cached_property
    def storage(self) -> Storage:
        return storage.open_(self.settings)

    @cached_property
    def vault(self) -> Vault:
        return vault.open_(self.settings)

    @cached_property
    def hints(self) -> Hints:
        return queue.open_(self.settings)
