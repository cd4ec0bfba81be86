"""The hub's own share of one change: the time that neither Exact Online, nor Databricks, nor a chosen wait accounts
for.

The window runs from the end of Exact Online's answer to the end of the delivery. Taken out of it are the times in which
a statement of the table was at Databricks, or one of a table that goes first (dimensions before documents, headers
before lines), and the wait for merge_interval after a delivery into such a table. All times are the hub's own records:
api_call, batch, statement_log; exact.trace() shows the same ones.
"""
from cluster import literal

_QUERY = """
WITH change AS (
    SELECT b.entity, e.merge_rank, tstzrange(c.at + c.took_ms * interval '1 ms', b.delivered_at) AS span
    FROM exact.record r JOIN exact.batch b ON b.id = r.batch JOIN exact.api_call c ON c.id = b.call
    JOIN exact.entity_effective e ON e.entity = b.entity
    WHERE r.division = {division} AND r.entity = {entity} AND r.key = {key}
    AND b.delivered_at > c.at + c.took_ms * interval '1 ms'
), before AS (
    SELECT e.entity FROM change, exact.entity_effective e
    WHERE e.entity = change.entity OR e.merge_rank < change.merge_rank
), busy AS (
    SELECT tstzrange(s.at, s.at + s.took_ms * interval '1 ms') AS span FROM exact.statement_log s JOIN before
    USING (entity) WHERE s.took_ms > 0
    UNION ALL
    SELECT tstzrange(d.delivered_at, d.delivered_at + current_setting('exact_databricks.merge_interval')::interval)
    FROM (SELECT DISTINCT b.delivered_at FROM exact.batch b JOIN before USING (entity)
    WHERE b.delivered_at IS NOT NULL) d
)
SELECT extract(epoch FROM upper(change.span) - lower(change.span)) - coalesce((
           SELECT sum(extract(epoch FROM upper(part) - lower(part))) FROM unnest((SELECT range_agg(busy.span)
           FROM busy) * change.span::tstzmultirange) AS part), 0)
FROM change"""


def hub_share(hub, division, entity, key):
    """Seconds for the newest version of a record; None when it is not delivered or did not come with a page."""
    text = hub.value(_QUERY.format(division=int(division), entity=literal(entity), key=literal(key)))
    return float(text) if text else None
