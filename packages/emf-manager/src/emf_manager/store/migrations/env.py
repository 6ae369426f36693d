"""What Alembic runs: our migrations over the connection that the store hands it."""

from alembic import context

from emf_manager.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
context.run_migrations()
