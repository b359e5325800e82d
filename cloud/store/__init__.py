"""Everything kept in PostgreSQL, and the only folder with SQL.

`Database` is the pool, at one of three tiers chosen by what the server offers. Functions take a connection and run in
the caller's transaction; queries live in `queries/*.sql` by name, migrations in `migrations/*.sql` by number.
"""

from cloud.store.database import Connection, Database, Tier
from cloud.store.errors import UnkeepableError, storable

__all__ = ["Connection", "Database", "Tier", "UnkeepableError", "storable"]
