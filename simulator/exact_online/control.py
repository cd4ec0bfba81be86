"""The control API under /_control/: the truth, changes, faults, clock and settings. JSON without authorization."""
import json
from urllib.parse import parse_qsl

from aiohttp import web

from . import changes, clock, read, rows, tables
from .book_control import BookControl
from .catalogue import (
    BY_LOWER_PATH,
    COMBINED,
    COMPUTED,
    COSTCENTER,
    COSTUNIT,
    DOCUMENTS,
    KEY_FIELD,
    PRESETS,
    RESOURCES,
    TRANSACTION,
    Raw,
    coerce,
)
from .dimensions import Schedule
from .division import DELETED
from .webhooks import WebhookControl

NESTED = ("faults", "subscriptions", "webhooks")      # requests that take one more path segment


class Bad(Exception):
    """A control request that makes no sense; the text says why."""


class Control(WebhookControl, BookControl):
    """Answers control requests. A POST body and a GET query are both a dictionary of arguments."""

    def __init__(self, sim):
        self.sim, self.schedule = sim, Schedule(sim.clock)

    async def handle(self, request):
        path, _, query = request.raw_path.partition("?")
        parts = [part for part in path.split("/") if part][1:]
        try:
            given = dict(parse_qsl(query))
            if request.method == "POST":
                text = await request.text()
                body = json.loads(text) if text.strip() else {}
                if not isinstance(body, dict):
                    raise Bad("the body must be a JSON object")
                given.update(body)
            name = f"{request.method.lower()}_{parts[0] if parts else ''}"
            method = getattr(self, name, None)
            if method is None or len(parts) > (2 if parts[0] in NESTED else 1):
                return self._json({"error": f"no control request {request.method} {path}"}, 404)
            found = method(given, *parts[1:])
            self.sim.sender.wake.set()
            return self._json(found)
        except (Bad, ValueError, KeyError, TypeError) as error:
            text = f"missing {error}" if isinstance(error, KeyError) else str(error)
            return self._json({"error": text}, 400)

    @staticmethod
    def _json(value, status=200):
        try:
            body = json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:      # a lone surrogate
            body = json.dumps(value).encode()
        return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")

    # ---- what is there ----

    def get_info(self, given):
        """Address, credentials, divisions, numbers of records, clock and settings."""
        sim, s = self.sim, self.sim.settings
        counted = [entity for entity in PRESETS[s.preset] if entity not in tables.UNCOUNTED]
        totals = {entity: sum(len(d.records[entity]) for d in sim.divisions.values()) for entity in counted}
        return {"base_url": sim.base_url, "client_id": s.client_id, "client_secret": s.client_secret,
                "redirect_uri": s.redirect_uris[0],
                "redirect_uris": s.redirect_uris, "webhook_secret": s.webhook_secret, "user": s.user,
                "divisions": [{"code": d.code, "description": d.info["description"],
                               "records": {entity: len(d.records[entity]) for entity in counted}}
                               for d in sim.divisions.values()],
                "records": totals, "clock": clock.utc_iso(sim.clock.now()), "settings": s.public()}

    def _division(self, given):
        try:
            return self.sim.divisions[int(given["division"])]
        except KeyError:
            raise Bad(f"no division {given.get('division')}" if "division" in given
                      else "division is missing") from None

    def _resource(self, given):
        resource = BY_LOWER_PATH.get(str(given.get("resource", "")).strip("/").lower())
        if resource is None or not self.sim.serves(resource):
            raise Bad(f"no resource {given.get('resource')!r}; known: "
                      f"{', '.join(p for p, r in RESOURCES.items() if self.sim.serves(r))}")
        return resource

    def get_truth(self, given):
        """Every record as a resource serves it now, and the last content of deleted ones."""
        division, resource = self._division(given), self._resource(given)
        entities = COMBINED[resource.path][:2] if resource.path in COMBINED else resource.entities
        found = []
        if resource.path == DELETED:
            found = [{"key": row["EntityKey"], "deleted": False, "row": {n: v for n, v in row.items() if n != "_seen"}}
                     for row in division.deleted_rows(True)]
        elif resource.path in COMPUTED:
            found = [{"key": str(i), "deleted": False, "row": rows.truth_row(resource, row)}
                     for i, row in enumerate(tables.computed(division, resource.path))]
        elif resource.path.endswith("Divisions"):
            human = resource.path.startswith("hrm/")
            found = [{"key": str(d.code), "deleted": False,
                      "row": rows.truth_row(resource, read.division_row(self.sim, d, human))}
                     for d in self.sim.divisions.values()]
        elif resource.entity not in division.entities:
            raise Bad(f"no truth is kept of {resource.path}")
        else:
            for entity in entities:
                found += [{"key": str(r.key), "deleted": False, "hidden": not division.shows(r),
                           "row": rows.truth_row(resource, rows.build(division, resource, r))}
                           for r in division.records[entity].values()]
                found += [{"key": str(key), "deleted": True, "hidden": False, "row": frozen.get(resource.path)}
                          for key, (_, frozen) in division.tombstones[entity].items()]
        return {"resource": resource.path, "division": division.code, "derived": rows.derived_fields(resource),
                "records": found}

    def get_served(self, given):
        """Row versions in fully sent answers, in the order in which they were read."""
        division, resource = self._division(given), self._resource(given)
        versions = self.sim.journal.versions(division.code, resource.path, json.loads)
        return {"resource": resource.path, "division": division.code, "derived": rows.derived_fields(resource),
                "versions": versions}

    def post_forget(self, given):
        """A hub begins anew: what was served so far was for another."""
        self.sim.journal.served.clear()
        return {}

    def get_calls(self, given):
        return {"calls": self.sim.journal.since(int(given.get("since", 0)))}

    def get_writes(self, given):
        """What was sent to be written, subscriptions too: its body, and whether it was done, whatever was answered."""
        wanted = ("n", "at", "method", "path", "division", "resource", "status", "fault", "body", "done")
        return {"writes": [{name: call.get(name) for name in wanted}
                           for call in self.sim.journal.since(int(given.get("since", 0)))
                           if call["method"] != "GET" and call["path"].startswith("/api/v1/")]}

    def get_stats(self, given):
        return {**self.sim.journal.summary(), **self.sim.limits.summary(),
                "token_calls": {f"{user} day {day}": n for (user, day), n in self.sim.oauth.calls.items()}}

    # ---- changes ----

    def post_change(self, given):
        """Create, update or delete a record as somebody at the keyboard would; business rules of the API do not
        apply."""
        sim, division, resource = self.sim, self._division(given), self._resource(given)
        entity = resource.entity
        if entity not in division.entities or entity == TRANSACTION:
            raise Bad(f"records of {resource.path} cannot be changed")
        document = DOCUMENTS.get(entity)
        op = given.get("op")
        values = self._values(entity, given.get("fields") or {})
        if given.get("lines") and not document:
            raise Bad(f"records of {entity} have no lines")
        lines = [self._values(document.line, line, extra={"delete"}) for line in given.get("lines") or []]
        user = next(iter(division.info["staff"]))
        record = None
        raw = {name: self._raw(entity, name, text) for name, text in (given.get("raw") or {}).items()}
        if op != "create":
            record = division.records[entity].get(self._key(entity, given["key"]))
            if record is None:
                raise Bad(f"no living record {given['key']} in {entity} of {division.code}")
        told = changes.told(record, lines) if record is not None else None
        if op == "create":
            key = self._key(entity, given["key"]) if given.get("key") else None
            if key is not None and (key in division.records[entity] or key in division.tombstones[entity]):
                raise Bad(f"the key {key} was used before")
            record = division.create(entity, values, user, lines, key)
        elif op == "update":
            division.update(record, values, user, lines)
        elif op == "delete":
            division.delete(record, user)
        else:
            raise Bad("op is create, update or delete")
        if raw and op != "delete":
            record.raw = {**record.raw, **raw}
            record.version += 1
            sim.weather.met("raw_value")
        if given.get("modified") and op != "delete":
            record.values["Modified"] = str(given["modified"])
        division.edition += 1
        if given.get("hidden") and op != "delete":
            self.post_hide({"division": division.code, "resource": entity, "keys": [record.key]})
        plain = RESOURCES[entity]
        row = division.tombstones[entity][record.key][1][entity] if op == "delete" else rows.truth_row(plain,
            rows.build(division, plain, record))
        if document and op != "delete":
            child = RESOURCES[document.line]
            row[document.collection] = [rows.truth_row(child, rows.build(division, child, line))
                                        for line in record.lines]
        return {"division": division.code, "resource": entity, "key": record.key, "op": op,
                "timestamp": str(record.ts) if record.ts else None,
                "what": changes.sentence(record, op, values, told), "row": row, "at": clock.utc_iso(sim.clock.now())}

    @staticmethod
    def _key(entity, key):
        """A key of a control request as the table keeps it."""
        edm = RESOURCES[entity].types.get(KEY_FIELD[entity], "Guid")
        if edm in ("Byte", "Int16", "Int32", "Int64", "DateTime"):
            return int(key)
        return str(key).lower() if edm == "Guid" else str(key)

    @staticmethod
    def _raw(entity, name, text):
        """JSON text that a field is to carry as it is; it may be no JSON at all."""
        if name not in RESOURCES[entity].types or not isinstance(text, str):
            raise Bad(f"raw takes the JSON text of fields of {entity}: {name}")
        return Raw(text)

    @staticmethod
    def _values(entity, given, extra=()):
        types = RESOURCES[entity].types
        unknown = [name for name in given if name not in types and name not in extra]
        if unknown:
            raise Bad(f"{entity} has no field {', '.join(unknown)}")
        return {name: value if name in extra else coerce(types[name], value) for name, value in given.items()}

    def post_random(self, given):
        """Random believable changes."""
        entity = self._resource(given).entity if given.get("resource") else None
        fixed = entity == TRANSACTION or entity in tables.FIXED or (entity is not None and RESOURCES[
            entity].kind == "function")
        if entity is not None and (entity not in PRESETS[self.sim.settings.preset] or fixed):
            raise Bad(f"records of {entity} cannot be changed")
        division = self._division(given) if given.get("division") else None
        return {"changes": changes.make(self.sim, int(given.get("count", 1)), given.get("seed"),
                                        float(given.get("deletes", 0.05)),
                                        division, entity)}

    # ---- OAuth ----

    def post_authorize(self, given):
        """Consent without a browser. The pair can be refreshed at once unless `age` (seconds since its issue) says
        otherwise."""
        user = given.get("user") or self.sim.settings.user
        pair = self.sim.oauth.start(user, float(given.get("age", self.sim.settings.min_refresh_age)))
        divisions = {int(code) for code in given["divisions"]} if given.get("divisions") is not None else None
        if divisions is not None:
            self.sim.weather.met("limited_consent")
            pair.chain.divisions = divisions
        return {"user": user, "code": self.sim.oauth.consent(user, divisions), "refresh_token": pair.refresh,
                "access_token": pair.access}

    def post_revoke(self, given):
        """End a user's tokens; `subscriptions` true, or the user himself gone, ends what he subscribed to as well."""
        what, user = given.get("what"), given.get("user") or self.sim.settings.user
        if what not in ("access", "refresh", "chain", "user", "expire"):
            raise Bad("what is access, refresh, chain, expire or user")
        gone = 0
        if given.get("subscriptions", what == "user"):
            gone = self.sim.subscriptions.remove(lambda s: s.user == user)
        return {"revoked": self.sim.oauth.revoke("chain" if what == "user" else what, user), "subscriptions": gone}

    # ---- faults, settings, clock, divisions ----

    def post_faults(self, given):
        return {"id": self.sim.faults.add(given).id}

    def get_faults(self, given, number=None):
        found = [f.public() for f in self.sim.faults.faults.values() if number in (None, str(f.id))]
        return {"faults": found}

    def delete_faults(self, given, number=None):
        return {"removed": self.sim.faults.remove(None if number is None else int(number))}

    def get_config(self, given):
        return self.sim.settings.public()

    def post_config(self, given):
        self.sim.settings.change(given)
        self.sim.settings.given |= set(given)
        if given.keys() & {"weather", "weather_forms"}:
            self.sim.choose()
        self.sim.settle()
        return self.sim.settings.public()

    def get_weather(self, given):
        """Every form, and how often it was met."""
        return self.sim.weather.public()

    def post_recode(self, given):
        """The job that gives a cost center or unit another code; with `moves` what was booked gets new versions."""
        division, entity = self._division(given), self._resource(given).entity
        if entity not in (COSTCENTER, COSTUNIT):
            raise Bad("recode takes a cost center or a cost unit")
        record = division.records[entity].get(str(given["key"]).lower())
        if record is None or not given.get("code") or division.by_code(entity, given["code"]):
            raise Bad("recode needs the key of a living record and a code that is free")
        self.sim.weather.met("recode")
        user = next(iter(division.info["staff"]))
        return {"reached": tables.recode(division, record, str(given["code"]), bool(given.get("moves")), user),
                "code": record.values["Code"]}

    def post_period(self, given):
        """Close or open a period for one journal."""
        division = self._division(given)
        place = str(given["journal"]), int(given["year"]), int(given["period"])
        if place[0] not in tables.JOURNAL_TYPES or not 1 <= place[2] <= 12:
            raise Bad(f"journal is one of {', '.join(tables.JOURNAL_TYPES)}, period 1 to 12")
        (division.closed.add if given.get("closed", True) else division.closed.discard)(place)
        return {"closed": sorted(map(list, division.closed))}

    def get_clock(self, given):
        return {"now": clock.utc_iso(self.sim.clock.now()), "offset": self.sim.clock.offset,
                "paused": self.sim.clock.paused is not None,
                "skew": self.sim.clock.skew}

    def post_clock(self, given):
        if "paused" in given:
            self.sim.clock.pause(bool(given["paused"]))
        if "skew" in given:
            self.sim.clock.skew = float(given["skew"])
        if "to" in given:
            seconds = clock.instant_from_utc(str(given["to"])) - self.sim.clock.now()
        else:
            seconds = float(given.get("advance", 0) if {"paused", "skew"} & set(given) else given["advance"])
        if seconds < 0:
            if not given.get("backward"):
                raise Bad("the clock only moves forward unless backward is true")
            self.sim.weather.met("clock_back")
        self.sim.clock.advance(seconds)
        return self.get_clock(given)

    def post_hide(self, given):
        """Take from the user the right to see records, or all of a resource: they are not there, and nothing was
        deleted."""
        division, entity, keys = self._hidden(given)
        known = division.hidden.get(entity, set())
        division.hidden[entity] = None if keys is None or known is None else known | keys
        return {"hidden": {e: None if k is None else sorted(k) for e, k in division.hidden.items()}}

    def post_show(self, given):
        """Give the right back; without keys for the whole resource, without resource for everything of the division."""
        if given.get("resource"):
            division, entity, keys = self._hidden(given)
            left = (division.hidden.pop(entity, None) or set()) - (keys or set())
            if keys and left:
                division.hidden[entity] = left
        else:
            division = self._division(given)
            division.hidden.clear()
        return {"hidden": {e: None if k is None else sorted(k) for e, k in division.hidden.items()}}

    def _hidden(self, given):
        division, resource = self._division(given), self._resource(given)
        entity = resource.entity
        if resource.path == DELETED:        # rows of the log, by the key of what was deleted
            return division, DELETED, None if given.get("keys") is None else {str(key).lower() for key in given["keys"]}
        keys = None if given.get("keys") is None else {self._key(entity, key) for key in given["keys"]}
        if entity not in division.entities or (keys is not None and not keys <= set(division.records[entity])):
            raise Bad(f"these are no living records of {division.code}: {given.get('resource')} "
                      f"{sorted(keys or ())[:3]}")
        return division, entity, keys

    def _packages(self, division, wanted):
        """{resource: "403", "404" or "empty"} where a package is missing; null gives it back."""
        for path, form in (wanted.get("packages") or {}).items():
            resource = self._resource({"resource": path})
            if form not in ("403", "404", "empty", None):
                raise Bad("packages takes 403, 404, empty or null for each resource")
            if form is None:
                division.packages.pop(resource.path, None)
            else:
                division.packages[resource.path] = form

    def post_division(self, given):
        """Block a division, archive it, or move it to another database (all row versions start again, lower)."""
        division = self._division({"division": given["code"]})
        wanted = {name: value for name, value in given.items() if name != "code"}
        unknown = set(wanted) - {"blocked", "reason", "move_date", "hr_link_date", "status", "blocking_status",
                                 "reset_timestamps", "granted",
                                 "packages"}
        if unknown:
            raise Bad(f"a division has no {', '.join(sorted(unknown))}")
        if wanted.get("reason") is not None and (not isinstance(wanted["reason"], str)
                                                 or not wanted["reason"].isprintable()):
            raise Bad("reason is the text of a header")
        self._packages(division, wanted)
        division.granted = bool(wanted.get("granted", division.granted))
        if "blocked" in wanted or "reason" in wanted:
            blocked = wanted.get("blocked", wanted.get("reason") is not None)
            division.reason = (wanted.get("reason") or "DivisionBlocked") if blocked else None
        for name in ("move_date", "hr_link_date"):
            if name in wanted:
                division.info[name] = coerce("DateTime", wanted[name])
        for name in ("status", "blocking_status"):
            if name in wanted:
                division.info[name] = int(wanted[name])
        if wanted.get("reset_timestamps", "move_date" in wanted or "hr_link_date" in wanted):
            division.move()
        return {"code": division.code, "reason": division.reason, "granted": division.granted,
                "packages": division.packages,
                **{name: division.info[name] for name in ("move_date", "hr_link_date", "status", "blocking_status")}}
