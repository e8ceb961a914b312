from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("adsapp_crm", "0005_tombstones")]

    operations = [
        migrations.AddIndex(
            model_name="crmplanline",
            index=models.Index(
                condition=models.Q(("kind", "review")), fields=["organization", "plan"], name="crm_plan_lines_review"
            ),
        ),
    ]
