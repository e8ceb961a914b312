from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("adsapp_crm", "0011_operating"),
    ]

    operations = [
        migrations.AddField(
            model_name="crmconnection",
            name="next_full_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="next full sync at"),
        ),
        migrations.AddField(
            model_name="crmconnection",
            name="schedule",
            field=models.JSONField(
                blank=True,
                default=dict,
                help_text="The keys of crm.schedule; the interval stands beside it.",
                verbose_name="schedule",
            ),
        ),
    ]
