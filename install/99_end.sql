-- The workers start when this transaction has committed.
SELECT exact._created();
