"""Watches that the hub never takes a living record for a deleted one, not even for a moment."""
import threading

from cluster import SqlError
from command import say
from services import ExactOnline
from truth_rules import RESOURCES, key_of

EVERY = 2.0     # seconds
TOLD = 10       # deletions of living records that are described


def living_keys(exact, division, entity):
    """Keys of the records that Exact Online holds, in the form of _key."""
    return {key_of(entity, record["row"]) for record in exact.truth(division, RESOURCES[entity].resource)
            if not record["deleted"]}


def dead_keys(exact, division, entity):
    """Keys of the records that were deleted in Exact Online."""
    records = exact.truth(division, RESOURCES[entity].resource)
    return {record["key"].lower() for record in records if record["deleted"]} - living_keys(exact, division, entity)


def decide(hub):
    """
    What is held, as an operator decides who looks the records up in Exact Online: where some are gone there he says
    yes, as each is asked for once more, else all of them stay. How many questions there were.
    """
    held = hub.query("SELECT h.id, h.division, h.entity, array_agg(r.key) AS keys FROM exact.held_delete AS h "
                     "JOIN exact.held AS r ON r.id = h.id WHERE h.state = 'held' GROUP BY h.id ORDER BY h.id")
    for question in held:
        division, entity = question["division"], question["entity"]
        gone = len(set(question["keys"]) & dead_keys(hub.exact, division, entity))
        hub.psql(f"SELECT exact.{'approve' if gone else 'reject'}({question['id']})")
        say(f"held           {len(question['keys'])} deletes of {entity} in division {division}, {gone} of them gone: "
            f"{'approved' if gone else 'rejected'}")
    return len(held)


class Living(threading.Thread):
    """
    `wrong`: (division, entity, key) of records that were deleted in the hub while they lived in Exact Online. It reads
    each version that was staged, so that none escapes it that was alive again a moment later.
    """

    def __init__(self, hub):
        super().__init__(daemon=True)
        self.hub, self.exact = hub, ExactOnline(hub.exact.url)
        self.wrong, self.told, self.looks, self.deletes, self.problem = set(), [], 0, 0, None
        self._batch, self._ended = 0, threading.Event()

    def run(self):
        try:
            while not self._ended.wait(EVERY):
                self.look()
        except Exception as error:  # shown by whoever waits for the end
            self.problem = error

    def end(self):
        self._ended.set()
        self.join(60)
        if self.problem:
            raise self.problem
        self.look()
        return self.wrong

    def look(self):
        try:
            rows = self.hub.psql(f"SELECT batch, division, entity, key FROM exact.stage WHERE op = 'D' "
                                 f"AND batch > {self._batch}", arguments=("-F", " ")).splitlines()
        except SqlError:    # the server is in recovery
            return
        self.looks += 1
        self.deletes += len(rows)
        fresh = {(int(division), entity, key) for _, division, entity, key in map(str.split, rows)}
        self._batch = max([self._batch, *(int(row.split()[0]) for row in rows)])
        for division, entity in {(division, entity) for division, entity, _ in fresh}:
            lives = living_keys(self.exact, division, entity)
            wrong = {entry for entry in fresh if entry[:2] == (division, entity) and entry[2] in lives}
            for entry in sorted(wrong - self.wrong)[:TOLD - len(self.told)]:
                self.told.append(self._how(*entry))
            self.wrong |= wrong

    def _how(self, division, entity, key):
        """One line about the deletion of a living record: when, by which call, and what the log says of it."""
        try:
            return self.hub.value(f"""SELECT concat_ws('  ', to_char(b.staged_at, 'HH24:MI:SS'), s.division, s.entity,
                s.key, 'batch ' || b.id || ' of', b.rows, a.what->>'how', 'call ' || b.call,
                to_char(c.at, 'HH24:MI:SS'), c.path)
                FROM exact.stage s JOIN exact.batch b ON b.id = s.batch LEFT JOIN exact.api_call c ON c.id = b.call
                LEFT JOIN exact.audit_log a ON a.kind = 'batch' AND (a.what->>'batch')::bigint = b.id
                WHERE s.op = 'D' AND s.division = {division} AND s.entity = '{entity}' AND s.key = '{key}'
                ORDER BY s.seq DESC LIMIT 1""")
        except SqlError as error:
            return f"{division} {entity} {key}: {error}"

    def __str__(self):
        return f"{self.looks} looks at {self.deletes:,} deletes: " + (
            "no living record was deleted" if not self.wrong else
            "\n  ".join([f"{len(self.wrong)} living records were deleted", *self.told]))
