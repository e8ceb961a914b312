"""Where the addresses lead: the admin, and everything the application serves."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from config.csp import ADMIN_PREFIX

handler400 = "adsapp_crm.error_pages.bad_request"
handler404 = "adsapp_crm.error_pages.not_found"
handler500 = "adsapp_crm.error_pages.server_error"

urlpatterns = [
    path(ADMIN_PREFIX.lstrip("/"), admin.site.urls),
    path("", include("adsapp_crm.urls")),
]
