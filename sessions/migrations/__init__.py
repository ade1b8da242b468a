"""Schema revisions, and the code that applies them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError


def _alembic_config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", "sessions:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def newest_revision() -> str:
    """The revision that this code works with."""
    head = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    assert head is not None, "there are revisions"
    return head


def current_revision(connection: sa.Connection) -> str | None:
    """The revision that the database is at; None if there is no schema."""
    return MigrationContext.configure(connection).get_current_revision()


def migrate(connection: sa.Connection) -> tuple[str | None, str]:
    """Bring the schema up to date in the caller's transaction; answers the revisions before and after."""
    before = current_revision(connection)
    head = newest_revision()
    if before != head:
        command.upgrade(_alembic_config(connection), "head")
        check_references(connection)
    return before, head


def check_references(connection: sa.Connection) -> None:
    """Raise ``CommandError`` if a row refers to one that is not there."""
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise CommandError(f"the migration would leave table {broken[0]} with references to nothing")
