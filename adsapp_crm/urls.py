"""What the application serves. The guide's paths have no slash at their end."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("api/crm/webhooks/", include("adsapp_crm.webhooks.urls")),
    path("api/", include("adsapp_crm.api.urls")),  # answers for whatever is below it and stands nowhere
    path("", include("adsapp_crm.dashboard.urls")),
]
