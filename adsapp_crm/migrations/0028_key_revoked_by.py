"""Who revoked a key: by hand, or with the person who made it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("adsapp_crm", "0027_standing_trouble"),
    ]

    operations = [
        migrations.AddField(
            model_name="apikey",
            name="revoked_by",
            field=models.TextField(blank=True, db_default="", default="", editable=False, verbose_name="revoked by"),
        ),
    ]
