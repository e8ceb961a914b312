from django.db import migrations, models

from adsapp_crm.migrations._standing_trouble import STANDING_TROUBLE, TELL_CONNECTION, TELL_STATE
from adsapp_crm.migrations._telling import TELL_STATE as TELL_STATE_BEFORE
from adsapp_crm.migrations._tenancy import DropLookUp, LetLookUpsReadMore, LookUp
from adsapp_crm.migrations._trouble import TELL_CONNECTION as TELL_CONNECTION_BEFORE

TO_TELL = ("crm_organizations_to_tell(most integer)", "organization_id uuid")
WHO = """
            SELECT n.organization_id FROM crm_notices n
            WHERE n.sent_at IS NULL AND n.kind IN ('connection.state', 'run.finished', 'conflict.opened', 'brake.pulled',
              'drift.found', 'webhook.off'){due}
            UNION
            SELECT m.organization_id FROM crm_messages m
            WHERE m.status = 'waiting' AND m.next_attempt_at <= clock_timestamp()
            LIMIT most
            """


class Migration(migrations.Migration):
    """People are told that records fail, or that a mapping is broken, when that still is so a quarter of an hour later."""

    dependencies = [("adsapp_crm", "0026_marked_indexes")]

    operations = [
        migrations.AddField(
            model_name="crmnotice",
            name="tell_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="told from"),
        ),
        LetLookUpsReadMore("crm_notices", "tell_at"),
        DropLookUp(*TO_TELL, WHO.format(due="")),
        LookUp(*TO_TELL, WHO.format(due=" AND (n.tell_at IS NULL OR n.tell_at <= clock_timestamp())")),
        migrations.RunSQL(STANDING_TROUBLE, "DROP FUNCTION crm_standing_trouble_of(uuid, uuid)"),
        migrations.RunSQL(TELL_STATE, TELL_STATE_BEFORE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")),
        migrations.RunSQL(TELL_CONNECTION, TELL_CONNECTION_BEFORE),
    ]
