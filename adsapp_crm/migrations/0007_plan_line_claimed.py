from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0006_plan_line_review")]

    operations = [
        migrations.AddIndex(
            model_name="crmplanline",
            index=models.Index(
                condition=models.Q(("claimed_until__isnull", False)),
                fields=["organization", "plan"],
                name="crm_plan_lines_claimed",
            ),
        ),
    ]
