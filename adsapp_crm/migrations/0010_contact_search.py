"""Find contacts by the beginning of a name, an address or a number, under row-level security.

Only leakproof comparisons reach an index there: ``=`` and ``^@`` on stored columns. LIKE and a call of lower()
on the column do not.
"""

from django.db import migrations, models
from django.db.models.functions import Lower


def _searched(column: str, name: str) -> migrations.AddIndex:
    return migrations.AddIndex(
        "contact",
        models.Index(fields=["organization", column], name=name, opclasses=["uuid_ops", "varchar_pattern_ops"]),
    )


def _key(source: str) -> migrations.AddField:
    field = models.GeneratedField(
        expression=Lower(source), output_field=models.CharField(editable=False), db_persist=True
    )
    return migrations.AddField("contact", f"{source}_key", field)


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0009_webhook_intake")]

    operations = [
        _key("first_name"),
        _key("last_name"),
        migrations.RemoveIndex("contact", "contacts_email"),
        migrations.RemoveIndex("contact", "contacts_phone"),
        _searched("email_normalized", "contacts_email"),
        _searched("phone_normalized", "contacts_phone"),
        _searched("first_name_key", "contacts_first_name"),
        _searched("last_name_key", "contacts_last_name"),
    ]
