"""The guide's routes, and what a log-in at a CRM needs besides."""

from __future__ import annotations

from django.urls import path

from adsapp_crm.api.views.connect import ConnectView
from adsapp_crm.api.views.contacts import (
    ContactEraseView,
    ContactExportView,
    ContactHistoryView,
    ContactMergeView,
    ContactRestoreView,
    ContactsView,
    ContactView,
)
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
    path("crm/contacts", ContactsView.as_view(), name="contacts"),
    path("crm/contacts/export", ContactExportView.as_view(), name="contact-export"),
    path("crm/contacts/<uuid:contact_id>", ContactView.as_view(), name="contact"),
    path("crm/contacts/<uuid:contact_id>/restore", ContactRestoreView.as_view(), name="contact-restore"),
    path("crm/contacts/<uuid:contact_id>/merge", ContactMergeView.as_view(), name="contact-merge"),
    path("crm/contacts/<uuid:contact_id>/erase", ContactEraseView.as_view(), name="contact-erase"),
    path("crm/contacts/<uuid:contact_id>/history", ContactHistoryView.as_view(), name="contact-history"),
    path("cron/crm-sync", CronView.as_view(), name="cron"),
]
