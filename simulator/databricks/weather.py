"""The forms that a run may meet, at which rate, and how often each was met.

With `weather` w a form is drawn with the share w × rate at every opportunity; forms of a whole run are drawn once.
The draws depend on the seed,
the form and the number of the request or statement only, so that the same requests get the same answers. Forms of
rate 0 come by their setting
or fault, or always, only.
"""

import collections
import random
from dataclasses import dataclass

from .settings import Settings


@dataclass(frozen=True)
class Form:
    entry: str
    name: str
    rate: float = 0.0
    values: dict | None = None  # settings that a run with the form has


FORMS = (
    Form("D1", "close_on_answer", 0.1),
    Form("D2", "result_gone", 0.02),
    Form("D3", "chunks"),
    Form("D4", "require_row_offset", 0.3, {"require_row_offset": True}),
    Form("D5", "ansi_mode", 0.1, {"ansi_mode": False}),
    Form("D6", "time_zone", 0.5, {"time_zone": "America/Los_Angeles"}),
    Form("D7", "table_concurrency conflict", 0.3, {"table_concurrency": "conflict"}),
    Form("D7", "table_concurrency row_level"),
    Form("D8", "history_states", 0.5, {"history_states": True}),
    Form("D8", "history_scope", 0.5, {"history_scope": "own"}),
    Form("D8", "history_text", 0.3, {"history_text": "redacted"}),
    Form("D9", "repeat_page", 0.05),
    Form("D10", "hidden_file"),
    Form("D11", "table_feature"),
    Form("D12", "lone_surrogate"),
    Form("D13", "between"),
    Form("D14", "short_result", 0.02),
    Form("D15", "variable"),
    Form("D16", "external_links", 0.2, {"external_links": "links"}),
    Form("D20", "permission_form unity"),
    Form("D21", "grant_missing"),
    Form("D22", "error_form text_only"),
    Form("D22", "error_form leading_newline"),
    Form("D22", "error_form none"),
    Form("D23", "error_form exception_name"),
    Form("D23", "conflict", 0.03),
    Form("D24", "scheduling", 0.03),
    Form("D25", "permission_form class"),
    Form("D26", "warehouse_stopped", 0.005),
    Form("D26", "warehouse_lag", 0.3, {"warehouse_lag": 2.0}),
    Form("D27", "poll_keepalive"),
    Form("D28", "statement_timeout"),
    Form("D28", "queue_limit"),
    Form("D28", "rate_limit", 0.03),
    Form("D29", "canceled", 0.01),
    Form("D30", "wrong_org", 0.002),
    Form("D31", "ip_blocked", 0.002),
    Form("D32", "auth_unavailable", 0.01),
    Form("D33", "start_503", 0.02),
    Form("D34", "retry_after"),
    Form("D35", "unified_host"),
    Form("D36", "token_kinds"),
    Form("D36", "discovery", 0.1),
    Form("D37", "warehouse_state"),
    Form("D38", "ddl_refused"),
    Form("D39", "bad_value"),
    Form("D40", "empty_pages", 0.3),
    Form("D41", "error_shape", 0.02),
    Form("D42", "compress"),
    Form("D42", "cut_gzip", 0.005),
    Form("D42", "gzip_bomb"),
    Form("D43", "header_case"),
    Form("D44", "extra_members", 0.5, {"extra_members": True}),
    Form("D44", "state", 0.005),
    Form("D44", "id_form", 0.5, {"id_form": "plain"}),
    Form("D45", "body_limit", 0.3, {"body_limit": 2_000_000}),
    Form("D46", "error_code", 0.01),
    Form("D47", "permission_details"),
    Form("B1", "reset_before", 0.005),
    Form("B1", "reset_after", 0.01),
    Form("B1", "accept_only", 0.001),
    Form("B1", "slow_headers", 0.005),
    Form("B1", "interim", 0.01),
    Form("B1", "close_idle", 0.01),
    Form("B1", "connection_close", 0.05),
    Form("B2", "redirect", 0.003),
    Form("B2", "http2", 0.3, {"http2": True}),
    Form("B3", "skew"),
    Form("B4", "monster", 0.002),
)
NAMES = {form.name for form in FORMS}
# The services' words for failures that pass: with them D46 is drawn.
PASSING_CODES = (
    "RESOURCE_EXHAUSTED",
    "TEMPORARILY_UNAVAILABLE",
    "SERVICE_UNDER_MAINTENANCE",
    "WORKSPACE_TEMPORARILY_UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "ABORTED",
    "IO_ERROR",
    "UNKNOWN",
    "INTERNAL_ERROR",
    "CANCELLED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "UNAUTHENTICATED",
    "BAD_REQUEST",
)
# HTTP forms in the order in which they are tried for a request; each as the rule of a fault.
_HTTP = (
    (
        "rate_limit",
        lambda rng: {
            "action": "rate_limited",
            "retry_after": rng.choice(("absent", "1", "date", "0", "negative", "text")),
        },
    ),
    ("auth_unavailable", lambda rng: {"action": "auth_unavailable"}),
    ("wrong_org", lambda rng: {"action": "wrong_org"}),
    ("ip_blocked", lambda rng: {"action": "ip_blocked"}),
    ("start_503", lambda rng: {"action": "status", "status": 503}),
    ("error_shape", lambda rng: {"action": "error_shape", "shape": rng.choice(SHAPES)}),
    ("cut_gzip", lambda rng: {"action": "cut_gzip"}),
    ("reset_before", lambda rng: {"action": "reset_before"}),
    ("reset_after", lambda rng: {"action": "reset_after"}),
    ("accept_only", lambda rng: {"action": "accept_only", "seconds": rng.uniform(1, 10)}),
    ("slow_headers", lambda rng: {"action": "slow_headers", "seconds": 0.005}),
    ("interim", lambda rng: {"action": "interim", "count": 100}),
    ("close_idle", lambda rng: {"action": "close_idle"}),
    ("connection_close", lambda rng: {"action": "connection_close"}),
    ("redirect", lambda rng: {"action": "redirect", "to": "http://127.0.0.1:9/login.html"}),
    ("monster", lambda rng: {"action": "monster", "kind": rng.choice(("nested", "number", "members"))}),
)
SHAPES = ("quota_failure", "retry_info", "bad_request", "error_only", "scim", "text", "html_pre")
_STATEMENT = (
    ("scheduling", lambda rng: {"action": "scheduling"}),
    ("conflict", lambda rng: {"action": "conflict"}),
    ("canceled", lambda rng: {"action": "canceled", "after": rng.random() < 0.5}),
    (
        "error_code",
        lambda rng: {
            "action": "fail",
            "error_class": "",
            "sql_state": "",
            "message": "The statement could not be completed.",
            "error_code": rng.choice(PASSING_CODES),
        },
    ),
    ("warehouse_stopped", lambda rng: {"action": "stopped"}),
    (
        "short_result",
        lambda rng: {"action": "short_result", "rows": rng.choice((0, 1)), "truncated": rng.random() < 0.5},
    ),
)


class Weather:
    """Draws for one workspace. `counts` holds how often each form was met."""

    def __init__(self, settings, seed):
        self.settings, self.seed, self.counts = settings, seed, collections.Counter()
        self._before = {}  # settings as they were before the weather changed them

    def rng(self, name, key):
        return random.Random(f"{self.seed}:{name}:{key}")

    @property
    def blows(self):
        """Whether any form may be drawn."""
        return self.settings.weather > 0 or bool(self.settings.weather_forms)

    def met(self, name):
        assert name in NAMES, name
        self.counts[name] += 1

    def drawn(self, name, key, share=0.0):
        """Whether the form comes at this opportunity; `share` is what its setting asks for besides the weather."""
        rate = next(form.rate for form in FORMS if form.name == name)
        chance = max(share, self.settings.weather_forms.get(name, 0.0), self.settings.weather * rate)
        return chance > 0 and self.rng(name, key).random() < chance

    def http_rule(self, number, path, method):
        """The rule of a fault for request `number`, None for most."""
        if not self.blows:
            return None
        if "/history/" in path and self.drawn("repeat_page", number):
            return {"action": "repeat_page", "form": "repeat_page"}
        if path.startswith("/oidc/.well-known") and self.drawn("discovery", number):
            return {"action": "status", "status": 404, "form": "discovery"}
        for name, make in _HTTP:
            if name == "start_503" and not (method == "POST" and path.rstrip("/").endswith("/sql/statements")):
                continue
            if self.drawn(name, number):
                return {**make(self.rng(name, f"{number}:how")), "form": name}
        return None

    def statement_rules(self, number):
        """The rules of faults for statement `number`."""
        if not self.blows:
            return []
        found = [
            {**make(self.rng(name, f"{number}:how")), "form": name}
            for name, make in _STATEMENT
            if self.drawn(name, number)
        ]
        return found[:1]

    def settle(self):
        """Draws the forms of the run after `weather` was set; takes back those of an earlier weather."""
        self.settings.update(self._before)
        self._before = {}
        defaults = Settings()
        for form in FORMS:
            for name, value in (form.values or {}).items():
                now = getattr(self.settings, name)
                if now == getattr(defaults, name) and self.drawn(form.name, "run"):
                    self._before[name] = now
                    setattr(self.settings, name, value)

    def report(self):
        forms = [{"entry": f.entry, "name": f.name, "rate": f.rate, "met": self.counts[f.name]} for f in FORMS]
        return {
            "weather": self.settings.weather,
            "asked": self.settings.weather_forms,
            "seed": self.seed,
            "run": {name: getattr(self.settings, name) for name in self._before},
            "forms": forms,
        }
