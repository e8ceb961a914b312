"""Row-level security on every organization table, and the look-ups that come before an organization is known."""

from django.db import migrations

from adsapp_crm.migrations._tenancy import Isolate, LetLookUpsRead, LookUp


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0001_initial")]

    operations = [
        Isolate(
            "Organization",
            "Membership",
            "StaffAccess",
            "StaffAccessEvent",
            "Contact",
            "ContactChange",
            "CrmAppRegistration",
            "CrmConnection",
            "CrmLease",
            "CrmOAuthState",
            "CrmFieldMapping",
            "CrmMappingVersion",
            "CrmSyncLog",
            "CrmSyncState",
            "CrmObservation",
            "CrmPlan",
            "CrmPlanLine",
            "CrmIntent",
            "CrmLedgerEntry",
            "CrmConflict",
            "CrmWebhook",
            "CrmWebhookEvent",
            "IdempotencyKey",
            "ApiKey",
            "CrmNotice",
        ),
        LetLookUpsRead("organizations", "id", "name"),
        LetLookUpsRead("memberships", "organization_id", "user_id", "role"),
        LetLookUpsRead("staff_access", "id", "organization_id", "user_id", "role", "expires_at", "ended_at"),
        LetLookUpsRead(
            "crm_connections",
            "id",
            "organization_id",
            "crm_type",
            "status",
            "health",
            "mode",
            "remote_account_id",
            "last_sync_at",
            "last_success_at",
            "last_error_code",
            "first_sync_approved_at",
            "next_sync_at",
            "parked_until",
            "token_expires_at",
        ),
        LetLookUpsRead("crm_sync_logs", "id", "organization_id", "connection_id", "status", "resume_at"),
        LetLookUpsRead("crm_oauth_states", "id", "organization_id", "state_hash"),
        LetLookUpsRead("crm_webhooks", "id", "organization_id", "connection_id", "path_token", "status"),
        LetLookUpsRead("api_keys", "id", "organization_id", "prefix"),
        LookUp(
            "crm_organizations_of(person uuid)",
            "organization_id uuid, role varchar, staff_access_id uuid",
            """
            SELECT m.organization_id, m.role, NULL::uuid FROM memberships m WHERE m.user_id = person
            UNION ALL
            SELECT s.organization_id, s.role, s.id FROM staff_access s
            WHERE s.user_id = person AND s.ended_at IS NULL AND s.expires_at > now()
            """,
        ),
        LookUp(
            "crm_organizations(after uuid, most integer)",
            "organization_id uuid",
            "SELECT o.id FROM organizations o WHERE after IS NULL OR o.id > after ORDER BY o.id LIMIT most",
        ),
        LookUp(
            "crm_organizations_named(wanted varchar)",
            "organization_id uuid",
            "SELECT o.id FROM organizations o WHERE o.name = wanted ORDER BY o.id LIMIT 10",
        ),
        LookUp(
            "crm_open_connections(after uuid, most integer)",
            "connection_id uuid, organization_id uuid, crm_type text, status text, health text, mode text,"
            " last_sync_at timestamptz, last_success_at timestamptz, last_error_code text,"
            " first_sync_approved_at timestamptz, next_sync_at timestamptz, parked_until timestamptz,"
            " token_expires_at timestamptz",
            """
            SELECT c.id, c.organization_id, c.crm_type, c.status, c.health, c.mode, c.last_sync_at, c.last_success_at,
                   c.last_error_code, c.first_sync_approved_at, c.next_sync_at, c.parked_until, c.token_expires_at
            FROM crm_connections c
            WHERE c.status <> 'disconnected' AND (after IS NULL OR c.id > after)
            ORDER BY c.id LIMIT most
            """,
        ),
        LookUp(
            "crm_organization_of_connection(wanted uuid)",
            "organization_id uuid",
            "SELECT c.organization_id FROM crm_connections c WHERE c.id = wanted",
        ),
        LookUp(
            "crm_connections_of_account(provider text, account text)",
            "connection_id uuid, organization_id uuid",
            """
            SELECT c.id, c.organization_id FROM crm_connections c
            WHERE c.crm_type = provider AND c.remote_account_id = account AND account <> ''
              AND c.status <> 'disconnected'
            """,
        ),
        LookUp(
            "crm_organization_of_run(wanted uuid)",
            "organization_id uuid, connection_id uuid",
            "SELECT r.organization_id, r.connection_id FROM crm_sync_logs r WHERE r.id = wanted",
        ),
        LookUp(
            "crm_unfinished_runs(most integer)",
            "run_id uuid, organization_id uuid, connection_id uuid, status text, resume_at timestamptz",
            """
            SELECT r.id, r.organization_id, r.connection_id, r.status, r.resume_at FROM crm_sync_logs r
            WHERE r.status IN ('running', 'parked') ORDER BY r.id LIMIT most
            """,
        ),
        LookUp(
            "crm_oauth_state(wanted text)",
            "state_id uuid, organization_id uuid",
            "SELECT s.id, s.organization_id FROM crm_oauth_states s WHERE s.state_hash = wanted",
        ),
        LookUp(
            "crm_webhook_of_path(wanted text)",
            "webhook_id uuid, organization_id uuid, connection_id uuid",
            """
            SELECT w.id, w.organization_id, w.connection_id FROM crm_webhooks w
            WHERE w.path_token = wanted AND w.status <> 'removed'
            """,
        ),
        LookUp(
            "crm_api_key(wanted text)",
            "api_key_id uuid, organization_id uuid",
            "SELECT k.id, k.organization_id FROM api_keys k WHERE k.prefix = wanted",
        ),
    ]
