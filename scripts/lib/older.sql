-- All that is there becomes older by @age@, an interval that the reader of this file puts in (scripts/lib/retained.py,
-- t/638_audit_retention.pl). Nobody's trigger: time itself. Hashes of events are made anew, as their times are part of
-- them.
SET session_replication_role = replica;
SET lock_timeout = '10s';
BEGIN;
LOCK TABLE exact.audit_chain IN EXCLUSIVE MODE;
UPDATE exact.stage_slot SET opened_at = opened_at - @age@;
UPDATE exact.inbox SET at = at - @age@;
UPDATE exact.api_call SET at = at - @age@;
UPDATE exact.statement_log SET at = at - @age@;
UPDATE exact.request SET made_at = made_at - @age@, finished_at = finished_at - @age@;
UPDATE exact.audit_anchor SET at = at - @age@;
DO $$
DECLARE
    e exact.audit_log;
    before bytea;
    chain text := '';
BEGIN
    FOR e IN SELECT * FROM exact.audit_log ORDER BY chain, id LOOP
        IF e.chain <> chain THEN
            chain := e.chain;
            before := coalesce((SELECT a.hash FROM exact.audit_anchor AS a WHERE a.chain = e.chain), '');
        END IF;
        e.at := e.at - @age@;
        IF e.kind = 'removal' THEN
            e.what := jsonb_set(e.what, '{at}', to_jsonb((e.what ->> 'at')::timestamptz - @age@));
        END IF;
        e.prev_hash := before;
        e.hash := exact._event_hash(before, e.chain, e.id, e.at, e.kind, e.division, e.entity, e.who, e.what);
        UPDATE exact.audit_log AS l SET at = e.at, what = e.what, prev_hash = e.prev_hash, hash = e.hash
        WHERE l.chain = e.chain AND l.id = e.id;
        UPDATE exact.audit_chain AS c SET prev_hash = e.prev_hash, hash = e.hash WHERE c.chain = e.chain;
        before := e.hash;
    END LOOP;
END
$$;
COMMIT;
