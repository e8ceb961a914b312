from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0003_contact_history")]

    operations = [
        migrations.AddField(
            model_name="crmsyncstate",
            name="due",
            field=models.BooleanField(
                db_default=False, default=False, help_text="The next run looks again.", verbose_name="due"
            ),
        ),
    ]
