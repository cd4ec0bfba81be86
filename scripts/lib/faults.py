"""Faults of both services, drawn by a seed and armed one after the other while something runs.

Each is one that the real services are known for and that needs no human: what a division freezes or parks for is left
out, and error answers stay below the ten an hour that block an endpoint.
"""
import collections
import random
import threading
import time

RESOURCES = ("sync/Financial/GLAccounts", "sync/Logistics/Items", "sync/CRM/Accounts",
             "sync/PurchaseOrder/PurchaseOrders", "sync/Financial/TransactionLines",
             "sync/SalesInvoice/SalesInvoices", "sync/Deleted", "purchaseentry/PurchaseEntries",
             "salesentry/SalesEntries", "purchase/PurchaseInvoices",
             "generaljournalentry/GeneralJournalEntries", "financialtransaction/BankEntries",
             "financialtransaction/CashEntries", "hrm/Costcenters",
             "hrm/Costunits", "system/Divisions")
ERRORS_AN_ENDPOINT = 4      # of ten that block it and six at which the hub stops asking
TOKEN_EVERY = 20            # seconds; two lost answers in a row would need a human
MOST_ARMED = 3              # of a service: who waits meets no pile of them when he asks again
REST = 3                    # seconds without one of Databricks after one that was met, while a kill is awaited
# Faults of Exact Online that hold all feeds of a division, and for how many seconds at most; a large page comes slowly
HOLDS = {"hangs": 4, "held": 3, "late": 3, "429 minute": 3, "429 day": 4, "slow body": 60}
KEPT = 15                   # seconds after which a fault that met nothing is taken away
# what is asked for rarely would meet a fault each time, and a lost answer is proved by two good looks in a row
KEPT_RARE = {"history 503": 1}
LOGIN_PAGE = "<html><head><title>Exact Online</title></head><body><form action='/login'></form></body></html>"


def _limit(kind, wait):
    """The three headers of an exhausted limit that resets so many ms after the answer."""
    name = {"minute": "X-RateLimit-Minutely", "day": "X-RateLimit"}[kind]
    return {f"{name}-Limit": "60" if kind == "minute" else "5000", f"{name}-Remaining": "0",
            f"{name}-Reset": f"{{now+{wait}}}"}


class Beside:
    """Something that is done again and again beside a run, by _run() until stop(); `problem`: what ended it before."""

    def __init__(self):
        self.problem = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._guarded, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._ended.set()
        self._thread.join(60)

    def _guarded(self):
        try:
            self._run()
        except Exception as error:  # shown by whoever waits for the end
            self.problem = error


class Faults(Beside):
    """`hits` counts what was met, by service and fault. Starts with start(), ends with stop()."""

    def __init__(self, exact, databricks, schema, seed, gap=1.0):
        super().__init__()
        self.exact, self.databricks, self.schema, self.gap = exact, databricks, schema, gap
        self.random = random.Random(f"weather {seed}")
        self.hits = collections.Counter()
        self.armed = []             # (service, id, kind, since)
        self.errors = collections.Counter()
        self.token_at = time.monotonic()
        # A kill is awaited. The claim is then the only statement that is sent: it would meet every fault of Databricks,
        # and a service that fails each time for a minute lets nobody go on. For the same reason one division at most
        # is held by Exact Online, and no access token is revoked: the hub asks once for another before its time.
        self.awaited = False
        self.rest_until, self.held_until = 0.0, 0.0
        self.revoked_at = None      # number of the last call before an access token was revoked that is still in use
        self._turn = threading.Lock()

    def stop(self):
        super().stop()
        self._sweep(all_of_them=True)

    def begin_await(self):
        """
        From now on a kill is awaited, if that may begin: not while the hub waits for another access token. Whether so.
        """
        with self._turn:
            if not self._replaced():
                return False
            self.awaited = True
            self._sweep()
            for entry in [a for a in self.armed if a[2] in HOLDS][1:]:
                self._take_away(entry)
            self.held_until = 0.0   # the kill ends what is held now
            return True

    def end_await(self):
        self.awaited = False

    def _replaced(self):
        """Whether the hub has another access token since the last one was revoked."""
        if self.revoked_at is not None and any(
                call["path"].endswith("/oauth2/token") and call["status"] == 200 and call["fault"] != "reset_after"
                for call in self.exact.get("calls", since=self.revoked_at)["calls"]):
            self.revoked_at = None
        return self.revoked_at is None

    def _held(self):
        """Whether a division is held, or a fault that will hold one is armed."""
        return time.monotonic() < self.held_until or any(a[2] in HOLDS for a in self.armed)

    def _run(self):
        while not self._ended.wait(self.random.uniform(0.5, 1.5) * self.gap):
            with self._turn:
                self._step()

    def _step(self):
        self._sweep()
        for service, draw in ((self.exact, self._exact), (self.databricks, self._databricks)):
            if service is self.databricks and self.awaited and time.monotonic() < self.rest_until:
                continue
            if sum(armed[0] is service for armed in self.armed) < MOST_ARMED:
                draw()

    def _arm(self, service, kind, path, action, **how):
        number = service.fault(path, action, **how)
        self.armed.append((service, number, kind, time.monotonic()))

    def _sweep(self, all_of_them=False):
        """Counts what was met, and takes away what is used up or met nothing."""
        kept = []
        for service in (self.exact, self.databricks):
            found = {fault["id"]: fault for fault in service.get("faults")["faults"]}
            for entry in (a for a in self.armed if a[0] is service):
                fault = found.get(entry[1])
                met = fault.get("hits", fault.get("applied", 0)) if fault else 0
                hung = fault and fault["action"] == "hang" and met
                kept_for = 3 if hung else KEPT_RARE.get(entry[2], KEPT)
                if fault and not all_of_them and (hung or not met) and time.monotonic() - entry[3] < kept_for:
                    kept.append(entry)
                    continue
                self.hits[service.NAME, entry[2]] += met
                if met and service is self.databricks:
                    self.rest_until = time.monotonic() + REST
                if met and service is self.exact and entry[2] in HOLDS:
                    self.held_until = max(self.held_until, time.monotonic() + HOLDS[entry[2]])
                if fault:
                    service._call("DELETE", f"faults/{entry[1]}")
        self.armed = kept

    def _take_away(self, entry):
        entry[0]._call("DELETE", f"faults/{entry[1]}")
        self.armed.remove(entry)

    def _exact(self):
        draw = self.random
        path = "/api/v1/"
        if time.monotonic() - self.token_at > TOKEN_EVERY:
            self.token_at = time.monotonic()
            kind = draw.choice(("503", "reset before", "answer lost", "late") + ("revoked",) * (not self.awaited))
            if kind == "revoked":
                self.revoked_at = self.exact.get("stats")["calls"]
                self.exact.post("revoke", what="access")
                self.hits[self.exact.NAME, "access token revoked"] += 1
            else:
                self._arm(self.exact, f"token {kind}", "oauth2/token", {"503": "status", "reset before": "reset_before",
                                                                        "answer lost": "reset_after",
                                                                        "late": "delay"}[kind],
                          **{"503": {"status": 503}, "late": {"seconds": 2}}.get(kind, {}))
        kinds = ("500", "500", "503", "reset before", "reset after", "late", "held", "hangs", "slow body", "truncated",
                 "malformed", "login page", "429 minute", "429 day")    # a bare one stops a division for minutes: t/320
        if self.awaited and self._held():
            kinds = [kind for kind in kinds if kind not in HOLDS]
        kind = draw.choice(kinds)
        if kind == "500":
            resource = draw.choice(RESOURCES)
            self.errors[resource] += 1
            path += rf"\d+/{resource}\b" if self.errors[resource] <= ERRORS_AN_ENDPOINT else "nowhere"
        action, how = {
            "500": ("status", {"status": 500, "body": '{"error":{"code":"","message":{"lang":"","value":"An error has '
                               'occurred."}}}'}),
            "503": ("status", {"status": 503, "body": "<html>Service Unavailable</html>", "html": True}),
            "reset before": ("reset_before", {}), "reset after": ("reset_after", {}),
            "late": ("delay", {"seconds": round(draw.uniform(0.2, 3), 2)}),
            "held": ("delay_after", {"seconds": round(draw.uniform(0.2, 3), 2)}),
            "hangs": ("hang", {}), "slow body": ("slow_body", {"bytes_per_second": draw.randrange(5000, 50000)}),
            "truncated": ("truncate", {"at": draw.randrange(5000)}), "malformed": ("malformed", {}),
            "login page": ("html", {"body": LOGIN_PAGE}),
            "429 minute": ("status", {"status": 429, "headers": _limit("minute", 2000)}),
            "429 day": ("status", {"status": 429, "headers": _limit("day", 3000)})}[kind]
        self._arm(self.exact, kind, path, action, **how)

    def _databricks(self):
        draw = self.random
        kind, path, action, how = draw.choice((
            ("reset before", "", "reset_before", {}), ("answer lost", "", "reset_after", {}),
            ("answer lost", "", "reset_after", {}),
            ("reset while running", "", "reset_running", {}),
            ("late", "", "delay", {"seconds": round(draw.uniform(0.2, 3), 2)}), ("503", "", "status", {"status": 503}),
            ("429", "", "status", {"status": 429, "headers": {"Retry-After": "1"}}),
            ("half an answer", "", "cut_body", {}), ("login page", "", "html", {}),
            ("stays queued", "", "pending", {"seconds": round(draw.uniform(1, 6), 2)}),
            ("runs long", "", "slow", {"seconds": round(draw.uniform(0.5, 4), 2)}),
            ("conflict after execution", "", "fail_after", {"error_class": "DELTA_CONCURRENT_APPEND",
                                                            "sql_state": "2D521", "message": "concurrent append"}),
            ("forgotten", "", "forget", {}), ("token expired", "", "token_expired", {}),
            ("poll reset", r"/sql/statements/[^/]+$", "reset_before", {"method": "GET"}),
            ("poll 503", r"/sql/statements/[^/]+$", "status", {"method": "GET", "status": 503}),
            ("history 503", "history/queries", "status", {"status": 503}),
            ("token 503", "oidc/v1/token", "status", {"status": 503}),
            ("token reset", "oidc/v1/token", "reset_before", {})))
        if not path:
            how = {**how, "statement": rf"MERGE INTO[^(]*`{self.schema}`"}
        self._arm(self.databricks, kind, path, action, **how)
