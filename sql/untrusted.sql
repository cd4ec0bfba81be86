-- Only a superuser creates the extension, also in a database of his own.
CREATE ROLE untrusted_owner;
CREATE DATABASE untrusted OWNER untrusted_owner;
\c untrusted
SET ROLE untrusted_owner;
CREATE EXTENSION exact_databricks;
RESET ROLE;
\c contrib_regression
DROP DATABASE untrusted;
DROP ROLE untrusted_owner;
