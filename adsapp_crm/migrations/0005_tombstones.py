"""What is kept of an erased person: keyed digests, behind the same wall."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import adsapp_crm.fields
import adsapp_crm.models.base
import adsapp_crm.tenancy
from adsapp_crm.migrations._tenancy import Isolate


class Migration(migrations.Migration):
    dependencies = [
        ("adsapp_crm", "0004_link_due"),
    ]

    operations = [
        migrations.AddField(
            model_name="organization",
            name="tombstone_key",
            field=adsapp_crm.fields.EncryptedJSONField(editable=False, null=True),
        ),
        migrations.CreateModel(
            name="ContactTombstone",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=adsapp_crm.models.base.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("digest", models.TextField(editable=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), editable=False, verbose_name="created at"
                    ),
                ),
                (
                    "contact",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tombstones",
                        to="adsapp_crm.contact",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        default=adsapp_crm.tenancy.current_organization_or_none,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="adsapp_crm.organization",
                    ),
                ),
            ],
            options={
                "verbose_name": "tombstone",
                "verbose_name_plural": "tombstones",
                "db_table": "contact_tombstones",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "digest", "contact"), name="contact_tombstones_digest"
                    )
                ],
            },
        ),
        Isolate("ContactTombstone"),
    ]
