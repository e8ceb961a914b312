"""``/api/crm/webhooks/<provider>/<token>``, as the CRMs call it."""

from __future__ import annotations

from django.urls import path

from adsapp_crm.webhooks.views import receive

app_name = "webhooks"

urlpatterns = [path("<str:crm_type>/<str:token>", receive, name="receive")]
