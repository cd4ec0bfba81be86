"""Options of the simulator: command line, defaults, and what the control API may change at run time."""
import argparse
import dataclasses
import json
import random
import uuid

from .forms import ALTERNATIVES, FAMILIES, FORMS, JSON_STYLES
from .notification import STYLES

TOKEN_MODES = ("strict", "forgiving")
SYNC_ORDERS = ("timestamp", "key", "pages")
DELETED_KEYS = ("both", "lines", "header")
CONSENTS = ("immediate", "page")
HEADER_IDS = ("order", "null")
LANGUAGES = ("NL", "EN", "FR", "DE")
TRANSACTION_HEADERS = ("entry", "own")
PRESETS = ("orders", "finance", "wide", "all")
LEDGERS = ("control", "repeat", "lines")
RESET_FORMS = ("milliseconds", "seconds", "local", "past", "far", "negative", "changing")
TOKEN_EXTRAS = ("members", "no_refresh_token")
BOOKS = ("rejected", "drafts", "balances", "charges", "reverse_charge", "including", "overtyped", "rounding", "system",
         "budget", "zero", "zero_guid",
         "null_vat")


@dataclasses.dataclass
class Settings:
    """Every field can be changed by POST /_control/config except those in FIXED and AT_START. A limit of 0 is off."""
    given = frozenset()         # what --set named: the weather leaves it alone
    host: str = "127.0.0.1"
    port: int = 0
    seed: int = 42
    divisions: int = 5
    records: int = 5000
    documents: int = 0
    preset: str = "orders"
    clock_offset: float = 0.0
    client_id: str = ""
    client_secret: str = ""
    webhook_secret: str = ""
    user: str = "integration@example.com"
    redirect_uris: list = dataclasses.field(default_factory=list)
    consent: str = "immediate"
    base_url: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    token_mode: str = "strict"
    token_lifetime: int = 600
    min_refresh_age: int = 570
    refresh_lifetime: int = 30 * 86400
    code_lifetime: int = 180
    token_day_limit: int = 200
    minute_limit: int = 60
    day_limit: int = 5000
    error_limit: int = 10
    page_size: int = 60
    sync_page_size: int = 1000
    expand_page_size: int = 0
    sync_order: str = "timestamp"
    deleted_keys: str = "both"
    header_row_id: str = "order"
    transaction_header: str = "entry"
    line_edit_moves_header: bool = False
    url_limit: int = 6000
    latency_min: int = 40
    latency_max: int = 120
    mandatory_filter: bool = False
    missing_scopes: list = dataclasses.field(default_factory=list)
    keep_served: bool = True
    language: str = "NL"
    validation_delay: float = 1.0
    allow_http_callback: bool = True
    allow_subscription_put: bool = False
    refused_topics: list = dataclasses.field(default_factory=list)
    callback_ca: str = ""
    webhook_delay_min: float = 1.0
    webhook_delay_max: float = 5.0
    webhook_batch: float = 0.0
    webhook_loss: float = 0.0
    webhook_duplicate: float = 0.0
    webhook_reorder: float = 0.0
    webhook_retries: int = 3
    webhook_retry_delay: float = 10.0
    webhook_timeout: float = 10.0
    webhook_parallel: int = 8
    webhook_keepalive: bool = True
    webhook_hold: bool = False
    webhook_styles: list = dataclasses.field(default_factory=list)
    webhook_transaction_lines: bool = True
    webhook_silent_fields: list = dataclasses.field(default_factory=list)
    webhook_flags: str = "all"
    webhook_retry_form: str = "fixed"
    subscription_loss: float = 0.0
    weather: float = 0.0
    weather_forms: dict = dataclasses.field(default_factory=dict)
    visible_after_min: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(FAMILIES, 0.0))
    visible_after_max: dict = dataclasses.field(default_factory=lambda: dict.fromkeys(FAMILIES, 0.3))
    deleted_loss: float = 0.0
    shared_versions: bool = False
    short_pages: float = 0.0
    post_nulls: bool = False
    empty_forms: bool = False
    json_style: list = dataclasses.field(default_factory=list)
    json_style_share: float = 0.0
    extra_members: float = 0.0
    absent_members: float = 0.0
    bom: float = 0.0
    rows_each: int = 5
    time_zone: str = "Europe/Amsterdam"
    honour_keys: bool = False
    deleted_status: int = 404
    post_status: int = 201
    blocked_in_use: str = "allowed"
    blocked_omit: float = 0.3
    token_length_min: int = 90
    token_length_max: int = 4000
    too_early_status: int = 400
    old_token_status: int = 401
    reason_header: float = 1.0
    too_early_rotates: bool = False
    expires_in_form: str = "string"
    token_extra: list = dataclasses.field(default_factory=list)
    limit_headers: str = "own"
    minute_block: int = 60
    minute_window: str = "clock"
    other_calls: int = 0
    early_429: float = 0.0
    reset_form: str = "milliseconds"
    error_statuses: list = dataclasses.field(default_factory=lambda: [400, 401, 403, 404, 405, 410, 415, 500, 501])
    error_block: str = "hour"
    unfilterable: list = dataclasses.field(default_factory=list)
    select_required: list = dataclasses.field(default_factory=list)
    mandatory_filters: dict = dataclasses.field(default_factory=dict)
    header_case: str = "title"
    url_limit_form: str = "414"
    filter_case: str = "drawn"
    full_page_form: str = "drawn"
    connection_close: float = 0.0
    cookies: bool = False
    http2: bool = False
    ledger: str = "control"
    journal_row_zero: bool = False
    sync_invoice_sign: str = "turned"
    books: list = dataclasses.field(default_factory=lambda: list(BOOKS))

    def public(self):
        return dataclasses.asdict(self)

    def change(self, wanted, at_start=False):
        """Apply {name: value}; ValueError names the first bad one and nothing is changed then."""
        checked = {name: self._checked(name, value, at_start) for name, value in wanted.items()}
        contradiction({**self.public(), **checked})
        for name, value in checked.items():
            setattr(self, name, value)

    def _checked(self, name, value, at_start):
        """A value in the form in which it is kept."""
        fixed = FIXED if at_start else FIXED | AT_START
        if name not in self.__dataclass_fields__ or (name in fixed and value != getattr(self, name)):
            raise ValueError(f"no setting {name!r} can be changed at run time")
        current = getattr(self, name)
        if name in BY_FAMILY:
            value = _by_family(name, value, current)
        if type(current) is float and type(value) is int:
            value = float(value)
        if type(value) is not type(current):
            raise ValueError(f"{name} takes {type(current).__name__}, not {value!r}")
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"{name} is one of {', '.join(map(str, CHOICES[name]))}")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not 0 <= value < float("inf"):
            raise ValueError(f"{name} must not be negative")
        if name in SHARES and value > 1:
            raise ValueError(f"{name} is a share between 0 and 1")
        if name in ELEMENTS and not all(element in ELEMENTS[name] for element in value):
            raise ValueError(f"{name} takes {', '.join(map(str, ELEMENTS[name]))}")
        if isinstance(value, list) and not all(isinstance(element, int if name == "error_statuses" else str)
                                               for element in value):
            raise ValueError(f"{name} takes a list of {'statuses' if name == 'error_statuses' else 'texts'}")
        if name == "weather_forms":
            value = _shares(value)
        if name == "mandatory_filters" and not all(isinstance(v, list) and all(isinstance(f, str) for f in v)
                                                   for v in value.values()):
            raise ValueError("mandatory_filters takes {resource: [fields]}")
        if name in AT_LEAST and value < AT_LEAST[name]:
            raise ValueError(f"{name} must be at least {AT_LEAST[name]}")
        return value


def _by_family(name, value, current):
    """Seconds of each family of endpoints: a number for all, or {family: seconds}."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = dict.fromkeys(FAMILIES, value)
    if not isinstance(value, dict) or not set(value) <= set(FAMILIES):
        raise ValueError(f"{name} takes seconds, or an object with {', '.join(FAMILIES)}")
    for seconds in value.values():
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
            raise ValueError(f"{name} takes seconds that are not negative, not {seconds!r}")
    return {**current, **{family: float(seconds) for family, seconds in value.items()}}


def _shares(forms):
    """{form: share} of forms that are drawn without the weather too."""
    for form, share in forms.items():
        if form not in FORMS or not FORMS[form].rate:
            raise ValueError(f"weather_forms: no form {form!r} is drawn")
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise ValueError(f"weather_forms: {form} takes a share between 0 and 1")
    return {form: float(share) for form, share in forms.items()}


def contradiction(s):
    """ValueError when two settings cannot both hold."""
    for low, high in PAIRS:
        if s[low] > s[high]:
            raise ValueError(f"{low} must not be above {high}")
    for family in FAMILIES:
        if s["visible_after_min"][family] > s["visible_after_max"][family]:
            raise ValueError(f"visible_after_min must not be above visible_after_max: {family}")
    styles = set(s["webhook_styles"])
    for one, other in AGAINST:
        if {one, other} <= styles:
            raise ValueError(f"webhook_styles: {one} and {other} contradict each other")
    if sum(style.startswith("fraction_") for style in styles) > 1:
        raise ValueError("webhook_styles: one fraction_ only")
    if s["limit_headers"] == "none" and s["reset_form"] != "milliseconds":
        raise ValueError("reset_form needs limit_headers: there are none to write it in")
    if s["journal_row_zero"] and s["ledger"] != "control":
        raise ValueError("journal_row_zero belongs to ledger control: the other shapes have a row 0 everywhere")
    if s["too_early_rotates"] and not s["min_refresh_age"]:
        raise ValueError("too_early_rotates needs min_refresh_age: no refresh is too early without it")
    if {"no_refresh_token"} <= set(s["token_extra"]) and s["token_mode"] == "strict":
        raise ValueError("token_extra no_refresh_token needs token_mode forgiving: a strict chain would end with "
                         "each answer")


FIXED = {"host", "port", "seed", "divisions", "records", "documents", "preset", "clock_offset", "tls_cert", "tls_key"}
AT_START = {"time_zone", "rows_each"}       # what the initial data are made with
BY_FAMILY = {"visible_after_min", "visible_after_max"}
PAIRS = (("latency_min", "latency_max"), ("webhook_delay_min", "webhook_delay_max"),
         ("token_length_min", "token_length_max"))
AGAINST = (("http10", "chunked"), ("http10", "expect"), ("old_names", "short"), ("old_names", "action_first"),
           ("upper_guids", "no_key"))
AT_LEAST = {"page_size": 1, "sync_page_size": 1, "webhook_parallel": 1, "token_length_min": 50, "minute_block": 1}
CHOICES = {"token_mode": TOKEN_MODES, "sync_order": SYNC_ORDERS, "deleted_keys": DELETED_KEYS, "consent": CONSENTS,
           "header_row_id": HEADER_IDS, "transaction_header": TRANSACTION_HEADERS, "language": LANGUAGES,
           "webhook_flags": ("all", "drawn"), "webhook_retry_form": ("fixed", "growing", "once"),
           "time_zone": ("Europe/Amsterdam", "Europe/London"), "deleted_status": (404, 410, 204, 200),
           "post_status": (201, 200), "blocked_in_use": ("allowed", "refused"),
           "too_early_status": (400, 401), "old_token_status": (401, 400), "expires_in_form": ("string", "number"),
           "limit_headers": ("own", "none", "all"), "minute_window": ("clock", "first_call"), "reset_form": RESET_FORMS,
           "error_block": ("hour", "growing"), "header_case": ("title", "lower"),
           "url_limit_form": ("414", "404", "400", "reset"),
           "filter_case": ("drawn", "sensitive", "insensitive"), "full_page_form": ("drawn", "array", "object"),
           "ledger": LEDGERS,
           "sync_invoice_sign": ("turned", "plain")}
SHARES = {"webhook_loss", "webhook_duplicate", "webhook_reorder", "subscription_loss", "weather", "deleted_loss",
          "short_pages",
          "json_style_share", "extra_members", "absent_members", "bom", "blocked_omit", "reason_header", "early_429",
          "connection_close"}
ELEMENTS = {"webhook_styles": STYLES, "json_style": JSON_STYLES, "token_extra": TOKEN_EXTRAS, "books": BOOKS}
assert all(name in Settings.__dataclass_fields__ for name in ALTERNATIVES)


def _given(text):
    """NAME=VALUE of --set: the value as JSON, or else as text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("NAME=VALUE, for instance ledger=repeat")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _latency(text):
    low, _, high = text.partition("-")
    try:
        low = int(low)
        high = int(high) if high else low
    except ValueError:
        raise argparse.ArgumentTypeError("MIN-MAX in milliseconds, for instance 100-400") from None
    if not 0 <= low <= high:
        raise argparse.ArgumentTypeError("MIN-MAX with 0 <= MIN <= MAX")
    return low, high


def parse_arguments(arguments=None):
    """Settings from the command line; prints help or a usage error and exits like argparse does."""
    d = Settings()
    p = argparse.ArgumentParser(
        prog="exact-online", formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        description="Exact Online as a local server. Prints 'ready URL' when it answers; ends on SIGINT or SIGTERM.",
        epilog="Times are seconds. A limit of 0 is off. The control API under /_control/ is described in the README.")
    p.add_argument("--host", default=d.host, help="address to listen on")
    p.add_argument("--port", type=int, default=d.port, help="port to listen on, 0 = a free one")
    p.add_argument("--seed", type=int, default=d.seed, help="the same seed gives the same data and credentials")
    p.add_argument("--divisions", type=int, default=d.divisions, help="number of divisions: 101001, 202002, ...")
    p.add_argument("--records", type=int, default=d.records, help="records over all divisions and the seven entities")
    p.add_argument("--documents", type=int, default=d.documents, metavar="N",
                   help="generated correct documents in each division, in every VAT situation; not with preset orders")
    p.add_argument("--preset", choices=PRESETS, default=d.preset,
                   help="orders: the seven entities of the README; finance: those and the documents of the ledger, "
                        "in proportion; "
                        "wide: those and all sync sets; all: every endpoint of the catalogue")
    p.add_argument("--weather", type=float, default=d.weather, metavar="SHARE",
                   help="how often the forms of the README's table are drawn by the seed, 0 (calm) to 1")
    p.add_argument("--set", type=_given, action="append", metavar="NAME=VALUE", default=[],
                   help="any setting of POST /_control/config, may be repeated, for instance --set ledger=repeat")
    p.add_argument("--clock-offset", type=float, default=d.clock_offset, metavar="SECONDS",
                   help="start with a clock that is ahead of this machine's, or behind it (negative)")
    p.add_argument("--fast", action="store_true",
                   help="no artificial latency: --latency 0, callbacks are called and notifications sent at once")
    p.add_argument("--latency", type=_latency, metavar="MIN-MAX", default=f"{d.latency_min}-{d.latency_max}",
                   help="milliseconds each API answer takes")
    p.add_argument("--client-id", default="", help="GUID of the registered app (default: from the seed)")
    p.add_argument("--client-secret", default="", help="its secret (default: from the seed)")
    p.add_argument("--webhook-secret", default="", help="its webhook secret (default: from the seed)")
    p.add_argument("--callback-ca", default="", metavar="FILE",
                   help="PEM certificates that callback addresses may have besides public ones")
    p.add_argument("--language", choices=LANGUAGES, default=d.language, help="language of the user's error texts")
    p.add_argument("--user", default=d.user, help="user that consents when none is named")
    p.add_argument("--redirect-uri", action="append", metavar="URI", default=None,
                   help="registered redirect URI, may be repeated (default: https://hub.example.com/exact/callback)")
    p.add_argument("--consent", choices=CONSENTS, default=d.consent,
                   help="redirect at once, or show a page to click on")
    p.add_argument("--base-url", default="", help="address in links (default: from each request's Host header)")
    p.add_argument("--tls-cert", default="", metavar="FILE", help="serve https with this PEM certificate")
    p.add_argument("--tls-key", default="", metavar="FILE", help="and this PEM key")
    p.add_argument("--token-mode", choices=TOKEN_MODES, default=d.token_mode,
                   help="strict: a refresh token works once; forgiving: the old one until the new pair is first used")
    p.add_argument("--token-lifetime", type=int, default=d.token_lifetime, help="life of an access token")
    p.add_argument("--min-refresh-age", type=int, default=d.min_refresh_age,
                   help="earliest refresh after the last issue")
    p.add_argument("--refresh-lifetime", type=int, default=d.refresh_lifetime, help="life of an unused refresh token")
    p.add_argument("--code-lifetime", type=int, default=d.code_lifetime, help="life of an authorization code")
    p.add_argument("--token-day-limit", type=int, default=d.token_day_limit, help="token calls per app, user and day")
    p.add_argument("--minute-limit", type=int, default=d.minute_limit, help="calls per app, division and minute")
    p.add_argument("--day-limit", type=int, default=d.day_limit, help="calls per app, division and day (UTC)")
    p.add_argument("--error-limit", type=int, default=d.error_limit, help="error answers per endpoint and hour")
    p.add_argument("--page-size", type=int, default=d.page_size, help="rows a page of plain endpoints")
    p.add_argument("--sync-page-size", type=int, default=d.sync_page_size,
                   help="rows a page of sync and bulk endpoints")
    p.add_argument("--sync-order", choices=SYNC_ORDERS, default=d.sync_order, help="order of rows in sync runs")
    p.add_argument("--deleted-keys", choices=DELETED_KEYS, default=d.deleted_keys,
                   help="ids that sync/Deleted lists for a deleted purchase order")
    p.add_argument("--header-row-id", choices=HEADER_IDS, default=d.header_row_id,
                   help="ID of LineNumber 0 rows in sync/PurchaseOrder/PurchaseOrders")
    p.add_argument("--transaction-header", choices=TRANSACTION_HEADERS, default=d.transaction_header,
                   help="ID of LineNumber 0 rows in TransactionLines: the entry's, or one of its own")
    p.add_argument("--line-edit-moves-header", action="store_true",
                   help="a line's edit or deletion moves Modified of its entry")
    p.add_argument("--mandatory-filter", action="store_true",
                   help="plain and bulk endpoints with a sync twin need $filter")
    p.add_argument("--missing-scope", action="append", metavar="SCOPE", default=[],
                   help="scope the app lacks (repeatable)")
    p.add_argument("--forget-served", action="store_true", help="do not keep served rows (for long load tests)")
    a = p.parse_args(arguments)
    if not 1 <= a.divisions <= 99:
        p.error("--divisions takes 1 to 99")
    if a.records < a.divisions * 40:
        p.error(f"--records must be at least {a.divisions * 40}: 40 a division")
    if a.documents < 0 or (a.documents and a.preset == "orders"):
        p.error("--documents takes a number that is not negative, and a preset with books")
    if a.page_size < 1 or a.sync_page_size < 1:
        p.error("page sizes are at least 1")
    if bool(a.tls_cert) != bool(a.tls_key):
        p.error("--tls-cert and --tls-key go together")
    low, high = (0, 0) if a.fast else a.latency
    rng = random.Random(f"app {a.seed}")
    values = {f.name: getattr(a, f.name) for f in dataclasses.fields(Settings) if hasattr(a, f.name)}
    del values["weather"]
    if a.fast:
        values.update(validation_delay=0.0, webhook_delay_min=0.0, webhook_delay_max=0.0,
                      visible_after_max=dict.fromkeys(FAMILIES, 0.0))
    values.update(
        client_id=(a.client_id or str(uuid.UUID(int=rng.getrandbits(128), version=4))).strip("{}").lower(),
        client_secret=a.client_secret
        or "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789", k=12)),
        webhook_secret=a.webhook_secret
        or "".join(rng.choices("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789", k=16)),
        redirect_uris=a.redirect_uri or ["https://hub.example.com/exact/callback"], latency_min=low, latency_max=high,
        missing_scopes=a.missing_scope, keep_served=not a.forget_served)
    made = Settings(**values)
    try:
        made.change({"weather": a.weather, **dict(a.set)}, at_start=True)
    except ValueError as error:
        p.error(str(error))
    made.given = {name for name, _ in a.set}
    return made
