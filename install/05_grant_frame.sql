-- Who may use the schema and the functions of the worker frame. exact._ask() is reached only
-- through functions that check who asks.

GRANT USAGE ON SCHEMA exact TO exact_reader, exact_worker, exact_listener, exact_rule;
GRANT EXECUTE ON FUNCTION exact._workers() TO exact_reader, exact_worker;
GRANT EXECUTE ON FUNCTION exact._version_library() TO exact_reader, exact_worker;
