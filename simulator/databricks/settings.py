"""What can be set at start and, as far as it makes sense later, changed by POST /_control/config."""

import json
import zoneinfo
from dataclasses import dataclass, field, fields


def _number(default, low=0, high=float("inf")):
    return field(default=default, metadata={"low": low, "high": high})


def _share():
    return _number(0.0, 0, 1)


def _choice(default, *others):
    return field(default=default, metadata={"choices": (default, *others)})


@dataclass
class Settings:
    catalog: str = "main"
    schema: str = "exact"
    warehouse_id: str = "475b94ddc7cd5211"
    client_id: str = "5c4d2a10-7b1e-4f6a-9c33-0d8e6a51b7f2"
    client_secret: str = ""
    pat: str = ""

    # Tokens and hosts
    token_lifetime: float = _number(3600.0)  # seconds
    expires_in_string: bool = False
    token_kinds: str = _choice("client_credentials", "all")  # all: token exchange, account level and Entra ID besides
    discovery: str = _choice("ok", "404", "html")
    unified_host: bool = False  # a login page for every call without the workspace header

    # Warehouse
    start_seconds: float = _number(0.0)  # how long a stopped warehouse takes to start
    auto_stop_minutes: float = _number(10.0)  # without a statement, then the warehouse stops; 0: never
    start_form: str = _choice("pending", "503")  # what a statement is answered meanwhile
    stop_ends: str = _choice("failed", "canceled", "unknown")  # how running statements end when the warehouse stops
    warehouse_lag: float = _number(0.0)  # seconds by which the state of the warehouse lags
    slots: int = _number(2, 1)  # statements executed at once
    queue_limit: int = _number(1000, 1)  # statements that may wait
    statement_timeout: float = _number(172800.0)  # seconds a statement may run
    ansi_mode: bool = True
    time_zone: str = "UTC"
    table_concurrency: str = _choice("serial", "conflict", "row_level")

    # Statements and results
    status_lag: float = _number(0.0)  # seconds by which a statement's state lags
    poll_keepalive: float = _number(900.0)  # seconds without a poll after which a statement is ended
    inline_limit: int = _number(25 * 1024 * 1024)  # bytes of an INLINE result
    statement_limit: int = _number(16 * 1024 * 1024)  # bytes of statement text
    parameter_limit: int = _number(256)
    chunk_rows: int = _number(0)  # rows of a result chunk; 0: drawn for each statement, 1 to 50,000
    chunk_bytes: int = _number(0)  # bytes of a result chunk; 0: drawn for each statement, 16 KiB to 16 MiB
    require_row_offset: bool = False  # a chunk is asked for with the row_offset of its internal link only
    close_on_answer: float = _share()  # share of results that come with CLOSED; their id is gone then
    result_gone: str = _choice("404", "closed")  # chunks of a result that expired
    result_retention: float = _number(3600.0)  # seconds after which a result is gone and the statement CLOSED
    statement_retention: float = _number(12 * 3600.0)  # seconds after its end at which an id is forgotten
    external_links: str = _choice("inline", "refused", "links", "attachment")  # disposition INLINE_OR_EXTERNAL_LINKS
    id_form: str = _choice("dashes", "plain")
    extra_members: bool = False

    # Refusals
    error_form: str = _choice("drawn", "field", "text_only", "leading_newline", "exception_name", "none")
    permission_form: str = _choice("drawn", "unity", "class", "class_line")
    scheduling: float = _share()  # share of statements that could not be scheduled

    # History
    history_delay: float = _number(0.0)  # seconds by which the query history lags
    history_states: bool = False  # walks through all eight states
    history_scope: str = _choice("all", "own")
    history_text: str = _choice("shown", "redacted")
    operation_ids: bool = True  # DESCRIBE HISTORY tells user and statement of an operation; open source does not

    # Unity Catalog
    predictive_optimization: str = _choice("enable", "disable", "absent")  # in DESCRIBE SCHEMA EXTENDED

    # The way there
    rate_limit: int = _number(0)  # API calls a second; 0: no limit
    retry_after: str = _choice("absent", "1", "date", "0", "negative", "text")  # with the 429 of rate_limit
    body_limit: int = _number(0)  # bytes of a request's body; 0: no limit
    body_limit_form: str = _choice("413", "400", "reset")
    empty_pages: float = _share()  # share of list pages that are empty and have a next page
    compress: str = _choice("drawn", "none", "gzip")  # of answers to those who ask for it
    header_case: str = _choice("lower", "title")
    http2: bool = False  # HTTP/2, HSTS and a cookie are offered

    weather: float = _share()  # all forms at low rates, see weather.py
    weather_forms: dict = field(default_factory=dict)  # {form: share} of forms that are drawn in calm too

    FIXED = ("catalog", "warehouse_id", "schema")

    def checked(self, values):
        """`values` in the types of their settings. Raises ValueError for an unknown or fixed name, a value of
        another type or out of its
        bounds, and for settings that contradict each other."""
        known = {f.name: f for f in fields(self) if f.name not in self.FIXED}
        taken = {}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"no such setting: {name} (known: {', '.join(sorted(known))})")
            kind, rules = type(getattr(self, name)), known[name].metadata
            if kind is float and type(value) is int:
                value = float(value)
            if type(value) is not kind:
                raise ValueError(f"{name} takes a value of type {kind.__name__}")
            if "choices" in rules and value not in rules["choices"]:
                raise ValueError(f"{name} takes one of: {', '.join(rules['choices'])}")
            if "low" in rules and not rules["low"] <= value <= rules["high"]:
                raise ValueError(f"{name} takes a value from {rules['low']} to {rules['high']}")
            if name == "weather_forms":
                value = self._form_shares(value)
            taken[name] = value
        self._contradictions({**{name: getattr(self, name) for name in known}, **taken})
        return taken

    @staticmethod
    def _form_shares(forms):
        from .weather import FORMS  # which knows the settings

        rates = {form.name: form.rate for form in FORMS}
        for form, share in forms.items():
            if not rates.get(form):
                raise ValueError(f"weather_forms: no form {form!r} is drawn")
            if type(share) not in (int, float) or not 0 <= share <= 1:
                raise ValueError(f"weather_forms: {form} takes a share from 0 to 1")
        return {form: float(share) for form, share in forms.items()}

    @staticmethod
    def _contradictions(all):
        if all["result_retention"] > all["statement_retention"]:
            raise ValueError(
                "result_retention contradicts statement_retention: a result cannot outlive its statement's id"
            )
        if all["start_form"] == "503" and all["start_seconds"] == 0:
            raise ValueError(
                "start_form 503 contradicts start_seconds 0: a warehouse that starts at once never answers it"
            )
        if all["http2"] and all["unified_host"]:
            raise ValueError("http2 contradicts unified_host: the login page comes without any of these headers")
        if all["close_on_answer"] == 1 and all["external_links"] == "links":
            raise ValueError("close_on_answer 1 contradicts external_links links: a closed result has no links")
        try:
            zoneinfo.ZoneInfo(all["time_zone"])
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            raise ValueError(f"time_zone {all['time_zone']!r} is not a zone of the time zone database") from None

    def update(self, values):
        """Takes over `values`. Raises ValueError as checked() and takes nothing then."""
        for name, value in self.checked(values).items():
            setattr(self, name, value)

    def set_texts(self, texts):
        """Takes over NAME=VALUE texts of the command line. Raises ValueError."""
        values = {}
        for text in texts:
            name, equals, value = text.partition("=")
            if not equals:
                raise ValueError(f"expected NAME=VALUE, not {text!r}")
            kind = type(getattr(self, name)) if name in {f.name for f in fields(self)} else str
            if kind is bool:
                if value not in ("true", "false"):
                    raise ValueError(f"{name} takes true or false")
                values[name] = value == "true"
            elif kind is dict:
                values[name] = json.loads(value)
            else:
                values[name] = kind(value)
        self.update(values)

    def as_dict(self):
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("client_secret", "pat")}
