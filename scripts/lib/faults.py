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
KEPT = 15                   # seconds after which a fault that met nothing is taken away
# what is asked for rarely would meet a fault each time, and a lost answer is proved by two good looks in a row
KEPT_RARE = {"history 503": 1}
LOGIN_PAGE = "<html><head><title>Exact Online</title></head><body><form action='/login'></form></body></html>"


def _limit(kind, wait):
    """The three headers of an exhausted limit that resets so many ms after the answer."""
    name = {"minute": "X-RateLimit-Minutely", "day": "X-RateLimit"}[kind]
    return {f"{name}-Limit": "60" if kind == "minute" else "5000", f"{name}-Remaining": "0",
            f"{name}-Reset": f"{{now+{wait}}}"}


class Faults:
    """`hits` counts what was met, by service and fault. Starts with start(), ends with stop()."""

    def __init__(self, exact, databricks, schema, seed, gap=1.0):
        self.exact, self.databricks, self.schema, self.gap = exact, databricks, schema, gap
        self.random = random.Random(f"weather {seed}")
        self.hits = collections.Counter()
        self.armed = []             # (service, id, kind, since)
        self.errors = collections.Counter()
        self.token_at = time.monotonic()
        # A kill is awaited. The claim is then the only statement that is sent: it would meet every fault of Databricks,
        # and a service that fails each time for a minute lets nobody go on.
        self.awaited = False
        self.rest_until = 0.0
        self.problem = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._ended.set()
        self._thread.join(60)
        self._sweep(all_of_them=True)

    def _run(self):
        try:
            while not self._ended.wait(self.random.uniform(0.5, 1.5) * self.gap):
                self._sweep()
                for service, draw in ((self.exact, self._exact), (self.databricks, self._databricks)):
                    if service is self.databricks and self.awaited and time.monotonic() < self.rest_until:
                        continue
                    if sum(armed[0] is service for armed in self.armed) < MOST_ARMED:
                        draw()
        except Exception as error:  # shown by whoever waits for the end
            self.problem = error

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
                if fault:
                    service._call("DELETE", f"faults/{entry[1]}")
        self.armed = kept

    def _exact(self):
        draw = self.random
        path = "/api/v1/"
        if time.monotonic() - self.token_at > TOKEN_EVERY:
            self.token_at = time.monotonic()
            kind = draw.choice(("503", "reset before", "answer lost", "late", "revoked"))
            if kind == "revoked":
                self.exact.post("revoke", what="access")
                self.hits[self.exact.NAME, "access token revoked"] += 1
            else:
                self._arm(self.exact, f"token {kind}", "oauth2/token", {"503": "status", "reset before": "reset_before",
                                                                        "answer lost": "reset_after",
                                                                        "late": "delay"}[kind],
                          **{"503": {"status": 503}, "late": {"seconds": 2}}.get(kind, {}))
        kind = draw.choice(("500", "500", "503", "reset before", "reset after", "late", "held", "hangs", "slow body",
                            "truncated", "malformed", "login page",
                            "429 minute", "429 day"))   # a bare one stops a division for minutes: t/320
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
