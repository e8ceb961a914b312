-- The three database roles. Run once as a superuser, in the database of the installation:
--
--   createdb crm
--   CRM_OWNER_PASSWORD=... CRM_APP_PASSWORD=... psql --no-psqlrc --dbname crm --file docs/roles.sql
--
-- crm_owner    owns the database and its tables, and migrates them        DATABASE_OWNER_URL
-- crm_app      the application: owns nothing, row-level security binds it  DATABASE_URL
-- crm_definer  nobody logs in as it; it owns the few functions that look something up before an organization is known
--
-- None of them is a superuser or bypasses row-level security. Running the file again changes the passwords, nothing else.

\set ON_ERROR_STOP on
\getenv owner_password CRM_OWNER_PASSWORD
\getenv app_password CRM_APP_PASSWORD

SELECT format('CREATE ROLE %I', role)
FROM unnest(ARRAY['crm_owner', 'crm_app', 'crm_definer']) AS role
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) \gexec

ALTER ROLE crm_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'owner_password';
ALTER ROLE crm_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'app_password';
ALTER ROLE crm_definer NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;

-- The owner may hand a function to crm_definer, and has none of its rights otherwise.
GRANT crm_definer TO crm_owner WITH INHERIT FALSE, SET TRUE;

SELECT format('ALTER DATABASE %I OWNER TO crm_owner', current_database()) \gexec

-- In the database. What follows is plain SQL that the owner of a database may run in it, as the tests do in theirs.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO crm_owner, crm_definer;
GRANT USAGE ON SCHEMA public TO crm_app;
-- No TRUNCATE: row-level security does not stop it.
ALTER DEFAULT PRIVILEGES FOR ROLE crm_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO crm_app;
ALTER DEFAULT PRIVILEGES FOR ROLE crm_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO crm_app;
