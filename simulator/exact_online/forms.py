"""Forms in which the real service may answer, by the number of the entry that names them, and the weather that draws
them.

A form is met because a setting or a fault asks for it, or because the weather draws it: `weather` times its rate,
from a
generator of the request's own, so that the same seed gives the same requests the same answers. Some forms are no
matter of
one answer but of the whole service (ALTERNATIVES): the weather chooses them once, when it is set.
"""
import collections
import random
from typing import NamedTuple

FAMILIES = ("plain", "key", "bulk", "sync", "deleted")
JSON_STYLES = ("escaped_slash", "ascii", "fraction", "upper_exponent", "shuffled")


class Form(NamedTuple):
    """One form: the entry of the list of findings, its share of requests at a weather of 1, and what it is."""
    entry: str
    rate: float
    what: str


FORMS = {
    "late": Form("E1", 1, "a change is seen later, at another moment on each family of endpoints"),
    "late_deletion": Form("E2", 1, "a row of sync/Deleted is seen late or after a younger one"),
    "lost_deletion": Form("E2", 0.02, "a deletion that is never logged"),
    "omit": Form("E3", 0.03, "a 200 without some of its rows"),
    "empty": Form("E3", 0.005, "a 200 without any row"),
    "shared_versions": Form("E4", 0.5, "header and lines of a combined set share one row version"),
    "unsorted_pages": Form("E4", 0.3, "rows of a page are not in order"),
    "short_page": Form("E5", 0.05, "a page below the page size that has a next one"),
    "empty_page": Form("E5", 0.02, "a page without rows that has a next one"),
    "loop_next": Form("E5", 0.003, "a page whose next link leads back"),
    "next_value": Form("E5", 0.01, "__next is there and null or empty"),
    "post_nulls": Form("E6", 0.5, "an answer to POST with nulls where a GET has values"),
    "empty_forms": Form("E7", 0.5, "empty texts and all-zero Guids where others have null"),
    **{style: Form("E8", 0.04, f"JSON written otherwise: {style}") for style in JSON_STYLES},
    "extra_members": Form("E9", 0.03, "members that no catalogue knows"),
    "absent_members": Form("E9", 0.01, "a documented member is not there"),
    "spoil_row": Form("E9", 0.003, "null in a key, Timestamp, LineNumber or Division, or a member twice"),
    "raw_value": Form("E10", 0.003, "NUL, a lone surrogate, 20.0 or a number out of range in a row"),
    "bom": Form("E10", 0.02, "a byte order mark before the JSON"),
    "wide_set": Form("E11", 0, "a sync set beyond the six of trade and ledger (preset wide)"),
    "shared_code": Form("E11", 0, "a deletion code of two tables (preset wide)"),
    "any_endpoint": Form("E12", 0, "an endpoint that is served from the catalogue (preset all)"),
    "time_zone": Form("E13", 0, "dates in the zone of Europe/London (site .co.uk)"),
    "padded_code": Form("E14", 1, "account codes with leading zeros, VAT code `0  `"),
    "honoured_key": Form("E15", 0.5, "a POST keeps the key that the client chose"),
    "status_after": Form("E15", 0.01, "a write is done and answered with an error"),
    "amount_dc_only": Form("E16", 0, "an entry line with AmountDC only becomes an amount of 0"),
    "deleted_status": Form("E17", 0.5, "DELETE of what is gone answers 410, 204 or 200"),
    "post_status": Form("E17", 0.5, "POST answers 200"),
    "partial_divisions": Form("E18", 0.01, "a list of divisions lacks one"),
    "blocking": Form("E19", 0.0005, "BlockingStatus above 0: lists lack rows, writes are refused"),
    "moved_page": Form("E30", 0.005, "401 with the page Object moved although a token was sent"),
    "long_token": Form("E31", 1, "tokens of another length with each refresh"),
    "refresh_expired": Form("E32", 0, "the text of an expired refresh token"),
    "too_early_401": Form("E33", 0.5, "a refresh that is too early answers 401"),
    "old_token_400": Form("E33", 0.5, "a refresh token used before answers 400"),
    "no_reason": Form("E33", 0.2, "a refusal without the header Reason"),
    "too_early_rotates": Form("E33", 0.3, "a refusal that holds a new refresh token"),
    "expires_in_number": Form("E34", 0.5, "expires_in is a number"),
    "token_members": Form("E34", 0.5, "a token answer with members that nobody knows"),
    "no_refresh_token": Form("E34", 0, "a token answer without a refresh token"),
    "limit_headers": Form("E35", 0.5, "429 without limit headers, or with both trios"),
    "long_minute_block": Form("E35", 0.3, "a minute block of two minutes"),
    "first_call_window": Form("E36", 0.5, "the minute begins with the first call"),
    "other_calls": Form("E36", 0.3, "calls of other processes use the same budget"),
    "early_429": Form("E36", 0.003, "429 although calls remain"),
    "reset_form": Form("E37", 0.3, "a reset in seconds, local time, the past or years ahead; a remainder below 0"),
    "error_block": Form("E38", 0.5, "an error block that grows"),
    "error_statuses": Form("E38", 0.5, "500 and 501 do not count as errors"),
    "maintenance": Form("E39", 0.0005, "every path answers the same wrong thing for a while"),
    "gateway": Form("E40", 0.005, "an error of the gateway, or one in the form of OAuth, on any path"),
    "unfilterable": Form("E41", 0, "$filter on a documented field is refused"),
    "select_required": Form("E41", 0.3, "$select is demanded on a plain endpoint"),
    "mandatory_filters": Form("E42", 0, "mandatory filtering for one resource"),
    "package": Form("E43", 0, "a package is missing: 404, 403 without Reason, or an empty list"),
    "limited_consent": Form("E44", 0, "a consent for some divisions, or refused"),
    "reason_case": Form("E45", 0.5, "the header is spelled reason"),
    "url_limit": Form("E46", 0.5, "a URL that is too long answers 404, 400 or a reset"),
    "chunked": Form("E60", 0.05, "a notification in chunks"),
    "bom_body": Form("E60", 0.02, "a notification with a byte order mark"),
    "expect": Form("E60", 0.05, "a notification with Expect: 100-continue"),
    "http10": Form("E60", 0.05, "a notification in HTTP/1.0"),
    "lower_headers": Form("E60", 0.05, "a notification with header names in lower case"),
    "old_names": Form("E61", 0.05, "a notification in the form of 2017, with Action in capitals"),
    "text_division": Form("E62", 0.05, "Division as text"),
    "braces": Form("E62", 0.05, "Guids in braces"),
    "topic_case": Form("E62", 0.05, "the topic in another case"),
    "no_key": Form("E62", 0.01, "a notification without a key"),
    "subscription_loss": Form("E63", 0.002, "a subscription ends without a word"),
    "retry_form": Form("E63", 0.5, "notifications are sent once only, or again with growing pauses"),
    "loopback_refused": Form("E64", 0, "a plain http callback is refused"),
    "silent_fields": Form("E65", 0.5, "changes of a third of the fields announce nothing"),
    "padded_legislation": Form("E70", 1, "Legislation padded in system/Divisions, a number as text in Me"),
    "singular_type": Form("E71", 1, "__metadata.type in the singular"),
    "full_page": Form("E72", 1, "at $top = page size an array or an object"),
    "half_padded": Form("E73", 1, "codes padded in one entity and not in another"),
    "next_order": Form("E74", 1, "__next in the order of the alphabet, $skiptoken last"),
    "filled_fields": Form("E75", 1, "PictureUrl with two slashes, Document filled by the service"),
    "filter_case": Form("E76", 1, "$filter compares texts without case"),
    "accept_only": Form("B1", 0.001, "a connection that is never answered"),
    "slow_headers": Form("B1", 0.001, "headers byte by byte"),
    "interim": Form("B1", 0.005, "100 interim answers before the answer"),
    "close_idle": Form("B1", 0.01, "a kept connection is closed at the moment of the next request"),
    "reset_before": Form("B1", 0.005, "a reset before any answer"),
    "reset_after": Form("B1", 0.005, "a reset after the request was done"),
    "cut_handshake": Form("B1", 0, "a reset in the middle of a TLS record"),
    "connection_close": Form("B1", 0.05, "Connection: close"),
    "redirect": Form("B2", 0.003, "a redirect to another host"),
    "cookies": Form("B2", 0.5, "cookies and HSTS with each answer"),
    "http2": Form("B2", 0.5, "HTTP/2 offered in headers"),
    "skew": Form("B3", 0.01, "the Date of an answer is minutes or a day off"),
    "clock_back": Form("B3", 0, "the clock of the service moves backward"),
    "monster": Form("B4", 0.0003, "an answer that is far too large, deep or wide"),
    "control_row": Form("books", 1, "row 0 of the ledger is the control row"),
    "other_ledger": Form("books", 0.5, "the ledger's row 0 repeats the total, or has the sign of its lines"),
    "journal_row_zero": Form("books", 0.3, "general journals with a row 0 of 0"),
    "turned_sign": Form("books", 1, "sync sales invoices are negative"),
    **{name: Form("books", 1, what) for name, what in (
        ("rejected", "entries of status 5"), ("drafts", "invoices of status 10"),
        ("balances", "opening and closing balances that do not fit"),
        ("charges", "order charges beside the lines"), ("reverse_charge", "VAT that is shown and not owed"),
        ("including", "line amounts with VAT"), ("overtyped", "VAT typed over"),
        ("rounding", "VAT that rounds to nothing"),
        ("system", "ledger rows without a document"), ("budget", "budget rows among those of the ledger"),
        ("zero", "entries of 0"), ("zero_guid", "the zero Guid for null"),
        ("null_vat", "null as VAT of a header"))},
    "recode": Form("books", 0, "a cost center gets another code under its documents"),
    "closed_period": Form("books", 0, "a write into a closed period is refused"),
}
ALTERNATIVES = {    # setting: what the weather may choose instead of the default, and the form this is
    "shared_versions": ((True,), "shared_versions"), "sync_order": (("pages", "pages", "key"), "unsorted_pages"),
    "post_nulls": ((True,), "post_nulls"), "empty_forms": ((True,), "empty_forms"),
    "honour_keys": ((True,), "honoured_key"),
    "deleted_status": ((410, 204, 200), "deleted_status"), "post_status": ((200,), "post_status"),
    "too_early_status": ((401,), "too_early_401"), "old_token_status": ((400,), "old_token_400"),
    "reason_header": ((0.5,), "no_reason"),
    "too_early_rotates": ((True,), "too_early_rotates"), "expires_in_form": (("number",), "expires_in_number"),
    "token_extra": ((["members"],), "token_members"), "limit_headers": (("none", "all"), "limit_headers"),
    "minute_block": ((120,), "long_minute_block"), "minute_window": (("first_call",), "first_call_window"),
    "other_calls": ((5, 15), "other_calls"),
    "reset_form": (("seconds", "local", "past", "far", "negative", "changing"), "reset_form"),
    "error_block": (("growing",), "error_block"),
    "error_statuses": (([400, 401, 403, 404],), "error_statuses"), "header_case": (("lower",), "reason_case"),
    "url_limit_form": (("404", "400", "reset"), "url_limit"),
    "select_required": ((["financial/GLAccounts", "crm/Accounts"],), "select_required"),
    "webhook_retry_form": (("growing", "once"), "retry_form"), "webhook_flags": (("drawn",), "silent_fields"),
    "cookies": ((True,), "cookies"),
    "http2": ((True,), "http2"), "ledger": (("repeat", "lines"), "other_ledger"),
    "journal_row_zero": ((True,), "journal_row_zero"),
    "deleted_keys": (("lines", "header"), "late_deletion"), "visible_after_max": ((2.0, 6.0), "late")}
ALWAYS = {"visible_after_max"}      # chosen in any weather above 0
ON_TOKENS = ("reset_before", "accept_only", "slow_headers", "interim", "close_idle", "gateway", "maintenance", "skew")
DRAWN_FAULTS = ("omit", "empty", "loop_next", "next_value", "spoil_row", "raw_value", "status_after", "moved_page",
                "gateway", "maintenance",
                "accept_only", "slow_headers", "interim", "close_idle", "reset_before", "reset_after", "redirect",
                "skew", "monster")


class Weather:
    """Draws forms, and counts each that was met, drawn or asked for."""

    def __init__(self, settings):
        self.settings, self.counts, self.asked, self.chosen = settings, collections.Counter(), collections.Counter(), {}

    def met(self, name, count=1):
        """A form was in an answer; returns True."""
        self.counts[name] += count
        return True

    def share(self, name, explicit=0.0):
        return max(explicit, self.settings.weather_forms.get(name, 0.0), self.settings.weather * FORMS[name].rate)

    @property
    def blows(self):
        """Whether any form may be drawn."""
        return self.settings.weather > 0 or bool(self.settings.weather_forms)

    def draw(self, rng, name, explicit=0.0):
        """Whether a form is in this answer; counts it."""
        share = self.share(name, explicit)
        return share > 0 and rng.random() < share and self.met(name)

    def generator(self, method, target):
        """The generator of a request: of the seed, of what is asked, and of how often it was asked before."""
        n = self.asked[method, target] = self.asked[method, target] + 1
        if len(self.asked) > 500_000:
            self.asked.clear()
        return random.Random(f"{self.settings.seed} {method} {target} {n}")

    def fault(self, rng, token):
        """{action, …} of the fault that the weather draws for a request, or None."""
        if not self.blows:
            return None
        for name in DRAWN_FAULTS:
            if rng.random() < self.share(name) and (not token or name in ON_TOKENS):
                return _FAULTS[name](rng)
        return None

    def choose(self, defaults):
        """The forms of the whole service, anew: {setting: value} that the weather sets. `defaults` are the values of
        calm."""
        rng, found = random.Random(f"weather {self.settings.seed}"), {}
        weather, forms = self.settings.weather, self.settings.weather_forms
        for name, (values, form) in ALTERNATIVES.items():
            draw, value = rng.random(), rng.choice(values)
            if name in self.settings.given:
                continue
            always = name in ALWAYS and weather > 0
            if always or draw < min(1.0, max(forms.get(form, 0.0), weather * FORMS[form].rate * 2)):
                found[name] = value
            elif name in self.chosen:
                found[name] = defaults[name]
        self.chosen = {name: value for name, value in found.items() if value != defaults.get(name)}
        return found

    def public(self):
        """For the control API: each form, how often it was met, and what was chosen."""
        forms = [{"entry": form.entry, "name": name, "what": form.what, "drawn": form.rate > 0, "rate": form.rate,
                  "met": self.counts[name]}
                 for name, form in FORMS.items()]
        return {"weather": self.settings.weather, "seed": self.settings.seed,
                "asked": self.settings.weather_forms, "chosen": self.chosen, "forms": forms,
                "met": sum(form["met"] > 0 for form in forms),
                "never": [form["name"] for form in forms if not form["met"]]}


_FAULTS = {     # what the weather asks of a fault
    "omit": lambda rng: {"action": "omit", "share": rng.choice((0.05, 0.2, 0.5))},
    "empty": lambda rng: {"action": "omit", "empty": True},
    "loop_next": lambda rng: {"action": "loop_next"},
    "next_value": lambda rng: {"action": "next_value", "value": rng.choice((None, ""))},
    "spoil_row": lambda rng: {"action": "spoil_row", **rng.choice(({}, {"twice": True}, {"field": "Division"},
                                                                   {"field": "LineNumber"}))},
    "raw_value": lambda rng: {"action": "spoil_row", "raw": rng.choice(('"a\\u0000b"', '"\\ud83d"', "20.0", "1E400",
                                                                        "-0"))},
    "status_after": lambda rng: {"action": "status_after", "status": rng.choice((500, 503))},
    "moved_page": lambda rng: {"action": "moved_page"},
    "gateway": lambda rng: {"action": "gateway", "status": rng.choice((401, 429, 500, 503)),
                            "oauth": rng.random() < 0.3},
    "maintenance": lambda rng: {"action": "maintenance", "seconds": rng.uniform(2, 20)},
    "accept_only": lambda rng: {"action": "accept_only", "seconds": rng.uniform(1, 10)},
    "slow_headers": lambda rng: {"action": "slow_headers", "seconds": 0.01},
    "interim": lambda rng: {"action": "interim", "count": rng.choice((1, 100))},
    "close_idle": lambda rng: {"action": "close_idle"},
    "reset_before": lambda rng: {"action": "reset_before"}, "reset_after": lambda rng: {"action": "reset_after"},
    "redirect": lambda rng: {"action": "redirect", "to": "https://login.example.com/"},
    "skew": lambda rng: {"action": "skew", "seconds": rng.choice((-86400, -300, 120, 86400))},
    "monster": lambda rng: {"action": "monster", "kind": rng.choice(("nesting", "number", "members"))},
}
