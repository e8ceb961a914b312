"""The guide's routes, what a log-in at a CRM needs besides, and ours in the same style."""

from __future__ import annotations

from django.urls import path, re_path
from drf_spectacular.views import SpectacularSwaggerSplitView

from adsapp_crm.api.views.audits import AuditRepairView, AuditsView, AuditView
from adsapp_crm.api.views.changes import ChangesView, ChangeView
from adsapp_crm.api.views.conflicts import (
    ConflictBulkView,
    ConflictCreateView,
    ConflictIgnoreView,
    ConflictLinkView,
    ConflictResolveView,
    ConflictsView,
    ConflictView,
)
from adsapp_crm.api.views.connect import ConnectView
from adsapp_crm.api.views.connections import (
    ConnectionDebugView,
    ConnectionExamineView,
    ConnectionPauseView,
    ConnectionResumeView,
    ConnectionsView,
    ConnectionView,
)
from adsapp_crm.api.views.contacts import (
    ContactEraseView,
    ContactExportView,
    ContactHistoryView,
    ContactImportView,
    ContactMergeView,
    ContactRestoreView,
    ContactsView,
    ContactView,
)
from adsapp_crm.api.views.cron import CronView
from adsapp_crm.api.views.description import DescriptionView
from adsapp_crm.api.views.fields import FieldsRefreshView, FieldsView
from adsapp_crm.api.views.history import ConnectionHistoryView, FiguresView
from adsapp_crm.api.views.log_in import CallbackView, ConfirmView
from adsapp_crm.api.views.mapping import MappingView
from adsapp_crm.api.views.mapping_work import (
    MappingLintView,
    MappingPreviewView,
    VersionRestoreView,
    VersionsView,
    VersionView,
)
from adsapp_crm.api.views.notices import (
    MessagesView,
    OutgoingWebhooksView,
    OutgoingWebhookTestView,
    OutgoingWebhookView,
)
from adsapp_crm.api.views.nowhere import NowhereView
from adsapp_crm.api.views.people import (
    KeysView,
    KeyView,
    MembersView,
    MemberView,
    MeView,
    StaffAccessesView,
    StaffAccessView,
)
from adsapp_crm.api.views.plans import (
    PlanApproveView,
    PlanDropView,
    PlanForecastView,
    PlanLinesView,
    PlansView,
    PlanView,
)
from adsapp_crm.api.views.records import (
    ContactRecordsView,
    ContactRoundTripView,
    RecordCountsView,
    RecordsExcludeView,
    RecordsIncludeView,
    RecordsRetryView,
    RecordsView,
    RecordUnlinkView,
)
from adsapp_crm.api.views.runs import RunCancelView, RunsView, RunUndoView, RunView
from adsapp_crm.api.views.schedules import ScheduleView
from adsapp_crm.api.views.sync import SyncView
from adsapp_crm.api.views.webhooks import (
    EventsReplayView,
    EventsView,
    EventView,
    RefusedDeliveriesView,
    SubscriptionsView,
)

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
    path("crm/contacts/import", ContactImportView.as_view(), name="contact-import"),
    path("crm/contacts/<uuid:contact_id>", ContactView.as_view(), name="contact"),
    path("crm/contacts/<uuid:contact_id>/restore", ContactRestoreView.as_view(), name="contact-restore"),
    path("crm/contacts/<uuid:contact_id>/merge", ContactMergeView.as_view(), name="contact-merge"),
    path("crm/contacts/<uuid:contact_id>/erase", ContactEraseView.as_view(), name="contact-erase"),
    path("crm/contacts/<uuid:contact_id>/history", ContactHistoryView.as_view(), name="contact-history"),
    path("crm/runs", RunsView.as_view(), name="runs"),
    path("crm/runs/<uuid:run_id>", RunView.as_view(), name="run"),
    path("crm/runs/<uuid:run_id>/cancel", RunCancelView.as_view(), name="run-cancel"),
    path("crm/runs/<uuid:run_id>/undo", RunUndoView.as_view(), name="run-undo"),
    path("crm/plans", PlansView.as_view(), name="plans"),
    path("crm/plans/<uuid:plan_id>", PlanView.as_view(), name="plan"),
    path("crm/plans/<uuid:plan_id>/forecast", PlanForecastView.as_view(), name="plan-forecast"),
    path("crm/plans/<uuid:plan_id>/lines", PlanLinesView.as_view(), name="plan-lines"),
    path("crm/plans/<uuid:plan_id>/approve", PlanApproveView.as_view(), name="plan-approve"),
    path("crm/plans/<uuid:plan_id>/drop", PlanDropView.as_view(), name="plan-drop"),
    path("crm/conflicts", ConflictsView.as_view(), name="conflicts"),
    path("crm/conflicts/resolve", ConflictBulkView.as_view(), name="conflicts-resolve"),
    path("crm/conflicts/<uuid:conflict_id>", ConflictView.as_view(), name="conflict"),
    path("crm/conflicts/<uuid:conflict_id>/resolve", ConflictResolveView.as_view(), name="conflict-resolve"),
    path("crm/conflicts/<uuid:conflict_id>/link", ConflictLinkView.as_view(), name="conflict-link"),
    path("crm/conflicts/<uuid:conflict_id>/create", ConflictCreateView.as_view(), name="conflict-create"),
    path("crm/conflicts/<uuid:conflict_id>/ignore", ConflictIgnoreView.as_view(), name="conflict-ignore"),
    path("crm/changes", ChangesView.as_view(), name="changes"),
    path("crm/changes/<uuid:change_id>", ChangeView.as_view(), name="change"),
    path("crm/contacts/<uuid:contact_id>/round-trip", ContactRoundTripView.as_view(), name="contact-round-trip"),
    path("crm/contacts/<uuid:contact_id>/records", ContactRecordsView.as_view(), name="contact-records"),
    path("crm/records", RecordsView.as_view(), name="records"),
    path("crm/records/counts", RecordCountsView.as_view(), name="record-counts"),
    path("crm/records/retry", RecordsRetryView.as_view(), name="records-retry"),
    path("crm/records/exclude", RecordsExcludeView.as_view(), name="records-exclude"),
    path("crm/records/include", RecordsIncludeView.as_view(), name="records-include"),
    path("crm/records/<uuid:record_id>/unlink", RecordUnlinkView.as_view(), name="record-unlink"),
    path("crm/audits", AuditsView.as_view(), name="audits"),
    path("crm/audits/<uuid:audit_id>", AuditView.as_view(), name="audit"),
    path("crm/audits/<uuid:audit_id>/repair", AuditRepairView.as_view(), name="audit-repair"),
    path("crm/figures", FiguresView.as_view(), name="figures"),
    path("crm/me", MeView.as_view(), name="me"),
    path("crm/connections", ConnectionsView.as_view(), name="connections"),
    path("crm/connections/<uuid:connection_id>", ConnectionView.as_view(), name="connection"),
    path("crm/connections/<uuid:connection_id>/pause", ConnectionPauseView.as_view(), name="connection-pause"),
    path("crm/connections/<uuid:connection_id>/resume", ConnectionResumeView.as_view(), name="connection-resume"),
    path("crm/connections/<uuid:connection_id>/debug", ConnectionDebugView.as_view(), name="connection-debug"),
    path("crm/connections/<uuid:connection_id>/examine", ConnectionExamineView.as_view(), name="connection-examine"),
    path("crm/connections/<uuid:connection_id>/history", ConnectionHistoryView.as_view(), name="connection-history"),
    path("crm/connections/<uuid:connection_id>/schedule", ScheduleView.as_view(), name="schedule"),
    path("crm/connections/<uuid:connection_id>/fields", FieldsView.as_view(), name="fields"),
    path("crm/connections/<uuid:connection_id>/fields/refresh", FieldsRefreshView.as_view(), name="fields-refresh"),
    path("crm/connections/<uuid:connection_id>/mapping-lint", MappingLintView.as_view(), name="mapping-lint"),
    path("crm/connections/<uuid:connection_id>/mapping-preview", MappingPreviewView.as_view(), name="mapping-preview"),
    path("crm/connections/<uuid:connection_id>/mapping-versions", VersionsView.as_view(), name="mapping-versions"),
    path(
        "crm/connections/<uuid:connection_id>/mapping-versions/<int:version>",
        VersionView.as_view(),
        name="mapping-version",
    ),
    path(
        "crm/connections/<uuid:connection_id>/mapping-versions/<int:version>/restore",
        VersionRestoreView.as_view(),
        name="mapping-version-restore",
    ),
    path("crm/webhook-subscriptions", SubscriptionsView.as_view(), name="webhook-subscriptions"),
    path("crm/webhook-refusals", RefusedDeliveriesView.as_view(), name="webhook-refusals"),
    path("crm/webhook-events", EventsView.as_view(), name="webhook-events"),
    path("crm/webhook-events/replay", EventsReplayView.as_view(), name="webhook-events-replay"),
    path("crm/webhook-events/<uuid:event_id>", EventView.as_view(), name="webhook-event"),
    path("crm/outgoing-webhooks", OutgoingWebhooksView.as_view(), name="outgoing-webhooks"),
    path("crm/outgoing-webhooks/<uuid:outgoing_id>", OutgoingWebhookView.as_view(), name="outgoing-webhook"),
    path(
        "crm/outgoing-webhooks/<uuid:outgoing_id>/test", OutgoingWebhookTestView.as_view(), name="outgoing-webhook-test"
    ),
    path("crm/messages", MessagesView.as_view(), name="messages"),
    path("crm/members", MembersView.as_view(), name="members"),
    path("crm/members/<uuid:member_id>", MemberView.as_view(), name="member"),
    path("crm/api-keys", KeysView.as_view(), name="api-keys"),
    path("crm/api-keys/<uuid:key_id>", KeyView.as_view(), name="api-key"),
    path("crm/staff-access", StaffAccessesView.as_view(), name="staff-accesses"),
    path("crm/staff-access/<uuid:access_id>", StaffAccessView.as_view(), name="staff-access"),
    path("schema", DescriptionView.as_view(), name="schema"),
    path(
        "docs",
        SpectacularSwaggerSplitView.as_view(url_name="api:schema", template_name="adsapp_crm/api/docs.html"),
        name="docs",
    ),
    path("cron/crm-sync", CronView.as_view(), name="cron"),
    re_path("", NowhereView.as_view(), name="nowhere"),
]
