"""Run by alembic inside the connection that ``sessions.migrations`` hands over."""

from alembic import context

from sessions.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
