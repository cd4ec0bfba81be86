"""What can be set at start and, as far as it makes sense later, changed by POST /_control/config."""

from dataclasses import dataclass, fields


@dataclass
class Settings:
    catalog: str = "main"
    schema: str = "exact"
    warehouse_id: str = "475b94ddc7cd5211"
    client_id: str = "5c4d2a10-7b1e-4f6a-9c33-0d8e6a51b7f2"
    client_secret: str = ""
    pat: str = ""
    token_lifetime: float = 3600.0  # seconds
    expires_in_string: bool = False
    start_seconds: float = 0.0  # how long a stopped warehouse takes to start
    slots: int = 2  # statements executed at once
    history_delay: float = 0.0  # seconds by which the query history lags
    status_lag: float = 0.0  # seconds by which a statement's state lags
    inline_limit: int = 25 * 1024 * 1024  # bytes of an INLINE result
    statement_limit: int = 16 * 1024 * 1024  # bytes of statement text
    parameter_limit: int = 256
    chunk_rows: int = 10000
    chunk_bytes: int = 4 * 1024 * 1024
    result_retention: float = 3600.0  # seconds after which a result is gone and the statement CLOSED
    statement_retention: float = 12 * 3600.0  # seconds after its end at which an id is forgotten

    FIXED = ("catalog", "warehouse_id")

    def update(self, values):
        """Takes over `values`. Raises ValueError for an unknown or fixed name or a value of another type."""
        known = {f.name: type(getattr(self, f.name)) for f in fields(self) if f.name not in self.FIXED}
        taken = {}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no such setting: {name} (known: {', '.join(sorted(known))})")
            if known[name] is float and type(value) is int:
                value = float(value)
            if type(value) is not known[name]:
                raise ValueError(f"{name} takes a value of type {known[name].__name__}")
            taken[name] = value
        for name, value in taken.items():
            setattr(self, name, value)

    def as_dict(self):
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("client_secret", "pat")}
