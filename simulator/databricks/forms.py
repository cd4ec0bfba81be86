"""How the error of a statement is shown: the same refusal comes in several forms, see README (D20, D22 to D25, D46)."""

import re

from .errors import SqlError
from .refusals import state_of

ERROR_FORMS = ("field", "text_only", "leading_newline", "exception_name", "none")
PERMISSION_FORMS = ("unity", "class", "class_line")
_STATE = re.compile(r"\.?\s*SQLSTATE: \w{5}")
_EXCEPTIONS = {
    "DELTA_CONCURRENT_APPEND": "ConcurrentAppendException",
    "DELTA_CONCURRENT_DELETE_READ": "ConcurrentDeleteReadException",
    "DELTA_CONCURRENT_DELETE_DELETE": "ConcurrentDeleteDeleteException",
    "DELTA_CONCURRENT_WRITE": "ConcurrentWriteException",
    "DELTA_CONCURRENT_TRANSACTION": "ConcurrentTransactionException",
    "DELTA_METADATA_CHANGED": "MetadataChangedException",
    "DELTA_PROTOCOL_CHANGED": "ProtocolChangedException",
}
_CODES = {
    "2D521": ("BAD_REQUEST", "ABORTED"),
    "40000": ("BAD_REQUEST", "ABORTED"),
    "XX000": ("INTERNAL_ERROR", "UNKNOWN", "BAD_REQUEST"),
    "KD001": ("BAD_REQUEST", "IO_ERROR"),
    "42K03": ("BAD_REQUEST", "NOT_FOUND"),
    "42P01": ("BAD_REQUEST", "NOT_FOUND"),
    "42704": ("BAD_REQUEST", "NOT_FOUND"),
    "42P07": ("BAD_REQUEST", "ALREADY_EXISTS"),
    "42710": ("BAD_REQUEST", "ALREADY_EXISTS"),
}


class PermissionRefused(SqlError):
    """A statement that Unity Catalog refuses; `reason` says what is missing."""

    def __init__(self, privilege, kind, target):
        self.reason = f"User does not have {privilege} on {kind} '{target}'."
        self.privilege, self.kind, self.target = privilege, kind, target
        super().__init__("INSUFFICIENT_PERMISSIONS", "42501", f"Insufficient privileges: {self.reason}")


class Given(SqlError):
    """An error of a fault: shown as the fault says it."""


def make(error_class, sql_state, message, code):
    """An error whose message is exactly `message`."""
    error = SqlError("", "", message, code)
    error.error_class, error.sql_state = error_class, sql_state
    return error


def show(error, text, settings, rng, met):
    """`error` of the statement `text` in the form that the settings say or `rng` draws."""
    if isinstance(error, Given):
        return error
    form = settings.error_form if settings.error_form != "drawn" else rng.choice(ERROR_FORMS)
    if isinstance(error, PermissionRefused):
        how = settings.permission_form if settings.permission_form != "drawn" else rng.choice(PERMISSION_FORMS)
        if how != "class_line":
            met(f"permission_form {how}")
        if how == "unity":
            return make("", "", f"PERMISSION_DENIED: {error.reason}", "BAD_REQUEST")
        if how == "class":
            error = make(
                error.error_class,
                error.sql_state,
                f"[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\n{error.reason} SQLSTATE: 42501",
                "BAD_REQUEST",
            )
    state = error.sql_state or state_of(error.error_class)
    if not state:
        return error
    if form == "exception_name" and error.error_class not in _EXCEPTIONS:
        form = "text_only"
    if form == "leading_newline" and not state.startswith("42"):
        form = "text_only"
    if form == "field":
        return error
    met(f"error_form {form}")
    code = rng.choice(_CODES.get(state, (error.code,)))
    if form == "text_only":
        return make(error.error_class, "", error.message, code)
    bare = _STATE.sub("", error.message)
    if form == "none":
        return make(error.error_class, "", bare, code)
    if form == "exception_name":
        return make(
            error.error_class,
            "",
            f"[{error.error_class}] com.databricks.sql.transaction.tahoe.{_EXCEPTIONS[error.error_class]}: {bare}",
            code,
        )
    line = text.split("\n", 1)[0]
    return make(
        error.error_class,
        "",
        f"\n{bare.rstrip()} SQLSTATE: {state} (line 1, pos 0)\n\n== SQL ==\n{text}\n{'^' * max(3, len(line))}\n",
        code,
    )
