"""The hub's own share of one change: the time that neither Exact Online, nor Databricks, nor a chosen wait accounts for.

    share = delivered - answer of the page - what the statements took - the wait for merge_interval

All times are the hub's own records: api_call, batch, statement_log; exact.trace() shows the same ones.
"""
from cluster import literal

_QUERY = """
SELECT extract(epoch FROM b.delivered_at - (c.at + c.took_ms * interval '1 ms'))
       - (SELECT coalesce(sum(s.took_ms), 0) / 1000 FROM exact.statement_log s
          WHERE s.entity = b.entity AND s.kind IN ('history', 'current', 'check') AND s.state = 'succeeded'
            AND (s.first_batch, s.first_ord) <= (r.batch, r.ord) AND (r.batch, r.ord) <= (s.last_batch, s.last_ord))
       - greatest(0, extract(epoch FROM (SELECT max(p.delivered_at) FROM exact.batch p WHERE p.entity = b.entity AND p.delivered_at < b.delivered_at)
                  + {interval} - b.staged_at)) AS seconds
FROM exact.record r JOIN exact.batch b ON b.id = r.batch JOIN exact.api_call c ON c.id = b.call
WHERE r.division = {division} AND r.entity = {entity} AND r.key = {key} AND b.delivered_at IS NOT NULL"""


def hub_share(hub, division, entity, key, interval="interval '0'"):
    """Seconds for the newest version of a record; None when it is not delivered or was found without a page of its own."""
    text = hub.value(_QUERY.format(division=int(division), entity=literal(entity), key=literal(key), interval=interval))
    return max(float(text), 0.0) if text else None
