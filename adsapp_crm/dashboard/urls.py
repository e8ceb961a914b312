"""The dashboard's pages. The guide's paths have no slash at their end."""

from __future__ import annotations

from django.urls import include, path, re_path

from adsapp_crm.dashboard.views import (
    activity,
    conflicts,
    connect,
    connections,
    contacts,
    entry,
    error_codes,
    home,
    mapping,
    mapping_versions,
    notices,
    people,
    plans,
    records,
    runs,
    schedule,
    suggestions,
    webhooks,
)

app_name = "dashboard"

_PAGES = [
    path("organizations", entry.organizations, name="organizations"),
    path("connect/<slug:crm>", connect.connect, name="connect"),
    path("connections/<slug:crm>", connections.connection, name="connection"),
    path("connections/<slug:crm>/sync", connections.sync, name="sync"),
    path("connections/<slug:crm>/change", connections.change, name="change"),
    path("connections/<slug:crm>/mode", connections.mode, name="mode"),
    path("connections/<slug:crm>/debug", connections.debug, name="debug"),
    path("connections/<slug:crm>/test", connections.examination, name="examination"),
    path("connections/<slug:crm>/disconnect", connections.end, name="disconnect"),
    path("connections/<slug:crm>/schedule", schedule.schedule, name="schedule"),
    path("connections/<slug:crm>/mapping", mapping.mapping, name="mapping"),
    path("connections/<slug:crm>/mapping/versions/<int:version>", mapping_versions.version, name="mapping-version"),
    path("connections/<slug:crm>/mapping/import", mapping_versions.import_file, name="mapping-import"),
    re_path(
        r"^connections/(?P<crm>[-\w]+)/mapping\.(?P<form>json|csv)$", mapping_versions.export, name="mapping-export"
    ),
    path("connections/<slug:crm>/mapping/suggestions", suggestions.suggestions, name="mapping-suggestions"),
    path("connections/<slug:crm>/mapping/new", mapping.row, name="mapping-new"),
    path("connections/<slug:crm>/mapping/<uuid:mapping_id>", mapping.row, name="mapping-row"),
    path("connections/<slug:crm>/mapping/<uuid:mapping_id>/remove", mapping.remove, name="mapping-remove"),
    path("runs/<uuid:run_id>", runs.run, name="run"),
    path("runs/<uuid:run_id>/progress", runs.progress, name="run-progress"),
    path("runs/<uuid:run_id>/cancel", runs.cancel, name="run-cancel"),
    path("runs/<uuid:run_id>/undo", runs.undo, name="run-undo"),
    path("plans/<uuid:plan_id>", plans.plan, name="plan"),
    path("contacts.csv", plans.snapshot, name="snapshot"),
    path("conflicts", conflicts.inbox, name="conflicts"),
    path("conflicts/<uuid:conflict_id>", conflicts.conflict, name="conflict"),
    path("records", records.listing, name="records"),
    path("records.csv", records.export, name="records-export"),
    path("contacts", contacts.search, name="contacts"),
    path("contacts/<uuid:contact_id>", contacts.contact, name="contact"),
    path("contacts/<uuid:contact_id>/test", contacts.round_trip, name="round-trip"),
    path("activity", activity.activity, name="activity"),
    path("figures", activity.figures, name="figures"),
    path("webhooks", webhooks.listing, name="webhooks"),
    path("notices", notices.listing, name="notices"),
    path("people", people.listing, name="people"),
]

urlpatterns = [
    path("docs/errors", error_codes.error_codes, name="error-codes"),
    path("login", entry.LogIn.as_view(), name="log-in"),
    path("logout", entry.log_out, name="log-out"),
    path("dashboard/settings/crm", home.home, name="home"),
    path("dashboard/settings/crm/", include(_PAGES)),
]
