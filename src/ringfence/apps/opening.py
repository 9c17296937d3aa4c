"""Opening the stores of a data directory: the one place that knows which store lies where."""

from ringfence.apps.settings import DataDir
from ringfence.store.audit_log import SqliteAuditLog
from ringfence.store.keys import open_audit_key, open_vault_key
from ringfence.store.secrets import SecretStore


def open_audit(data: DataDir) -> SqliteAuditLog:
    """Open the audit log, making its key when there is none yet."""
    return SqliteAuditLog(data.audit, open_audit_key(data.root))


def open_secrets(data: DataDir) -> SecretStore:
    """Open the vault, making its key when there is none yet."""
    return SecretStore(data.secrets, open_vault_key(data.root))
