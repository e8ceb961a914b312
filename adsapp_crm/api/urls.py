"""The guide's routes, and what a log-in at a CRM needs besides."""

from __future__ import annotations

from django.urls import path

from adsapp_crm.api.views.connect import ConnectView
from adsapp_crm.api.views.cron import CronView
from adsapp_crm.api.views.log_in import CallbackView, ConfirmView
from adsapp_crm.api.views.mapping import MappingView
from adsapp_crm.api.views.sync import SyncView

app_name = "api"

urlpatterns = [
    path("crm/connect", ConnectView.as_view(), name="connect"),
    path("crm/connect/callback", CallbackView.as_view(), name="connect-callback"),
    path("crm/connect/callback/<slug:provider>", CallbackView.as_view(), name="connect-callback-of"),
    path("crm/connect/confirm/<uuid:organization_id>/<uuid:attempt_id>", ConfirmView.as_view(), name="connect-confirm"),
    path("crm/sync", SyncView.as_view(), name="sync"),
    path("crm/mapping", MappingView.as_view(), name="mapping"),
    path("cron/crm-sync", CronView.as_view(), name="cron"),
]
