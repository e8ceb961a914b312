"""The guide's six routes."""

from __future__ import annotations

from django.urls import path

from adsapp_crm.api.views.connect import CallbackView, ConnectView
from adsapp_crm.api.views.cron import CronView
from adsapp_crm.api.views.mapping import MappingView
from adsapp_crm.api.views.sync import SyncView

app_name = "api"

urlpatterns = [
    path("crm/connect", ConnectView.as_view(), name="connect"),
    path("crm/connect/callback", CallbackView.as_view(), name="connect-callback"),
    path("crm/sync", SyncView.as_view(), name="sync"),
    path("crm/mapping", MappingView.as_view(), name="mapping"),
    path("cron/crm-sync", CronView.as_view(), name="cron"),
]
