"""Every setting, read from the environment through `config.env`; `.env.example` explains each variable.

There is one file for development, tests and production: what differs is the environment. Whether cookies and redirects
insist on TLS follows from CRM_PUBLIC_URL, which may be plain HTTP on loopback only.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

from config import csp, logs
from config.env import (
    env_bool,
    env_choice,
    env_int,
    env_list,
    env_secret,
    env_str,
    env_url,
    is_loopback,
    mail_settings,
    postgres_settings,
)

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Site -------------------------------------------------------------------------------------------------------------

DEBUG = env_bool("DJANGO_DEBUG", default=False)
SECRET_KEY = env_secret("DJANGO_SECRET_KEY", minimum_length=50)

CRM_PUBLIC_URL = env_url("CRM_PUBLIC_URL", schemes=("https", "http")).rstrip("/")
_public = urlsplit(CRM_PUBLIC_URL)
_public_host = _public.hostname or ""
SECURE = _public.scheme == "https"
if not (SECURE or DEBUG or is_loopback(_public_host)):
    msg = "CRM_PUBLIC_URL must begin with https:// unless its host is this machine or DJANGO_DEBUG is true."
    raise ImproperlyConfigured(msg)

ALLOWED_HOSTS = [_public_host, *env_list("DJANGO_ALLOWED_HOSTS")]
CSRF_TRUSTED_ORIGINS = [f"{_public.scheme}://{_public.netloc}"]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["config.formats"]
LOCALE_PATHS = [BASE_DIR / "locale"]

INSTALLED_APPS = [
    "unfold",  # before the admin, whose templates it replaces
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_filters",
    "axes",
    "csp",
    "django_htmx",
    "django_celery_beat",
    "django_structlog",
    "adsapp_crm.apps.AdsappCrmConfig",
]

MIDDLEWARE = [
    "adsapp_crm.probes.ProbesMiddleware",  # before everything: a probe names no host, session or organization
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.csp.AdminPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "adsapp_crm.middleware.OrganizationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "axes.middleware.AxesMiddleware",
]

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "libraries": {"crm": "adsapp_crm.dashboard.tags"},
        },
    }
]

# Hashed and compressed when `collectstatic` has a place to put them, straight from the packages otherwise.
STATIC_URL = "/static/"
STATIC_ROOT = env_str("DJANGO_STATIC_ROOT", "") or None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_ROOT
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = not STATIC_ROOT
WHITENOISE_AUTOREFRESH = False

# --- Database ---------------------------------------------------------------------------------------------------------

# `default` is the application's role: it owns nothing and row-level security binds it. `owner` makes and migrates the
# tables (`manage.py migrate --database owner`); web servers and workers run without it. docs/roles.sql creates both.
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **postgres_settings("DATABASE_URL", env_secret("DATABASE_URL")),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        # The test runner makes one database, as the owner; code under test enters it as the application's role.
        "TEST": {"MIRROR": "owner"},
    },
}
if _owner_url := env_secret("DATABASE_OWNER_URL", ""):
    DATABASES["owner"] = postgres_settings("DATABASE_OWNER_URL", _owner_url)

# --- Redis protocol: broker, cache, rate limits -----------------------------------------------------------------------

REDIS_URL = env_secret("REDIS_URL")
env_url("REDIS_URL", REDIS_URL, schemes=("redis", "rediss"))
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL, "KEY_PREFIX": "crm"}
}

# --- Celery -----------------------------------------------------------------------------------------------------------

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # A task longer than the visibility timeout is handed to a second worker while the first still runs, so it stays far
    # above the hard limit's reach; the sweep looks every 10 s (kombu's own default is about every 100 s).
    "visibility_timeout": 300,
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 90
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True  # results are rows
CELERY_RESULT_BACKEND = None
CELERY_TASK_SERIALIZER = "json"  # never pickle: a broker's content is not trusted
CELERY_RESULT_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 30.0  # seconds a deploy gives to the page in flight
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000  # KiB
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_TASK_QUEUES = {name: {"routing_key": name} for name in ("interactive", "realtime", "bulk", "maintenance")}
CELERY_TASK_DEFAULT_QUEUE = "bulk"
CELERY_TASK_ROUTES = {
    f"adsapp_crm.tasks.{task}": {"queue": queue}
    for queue, tasks in {
        "interactive": ("sync_now",),
        "realtime": ("drain", "refetch"),
        "bulk": ("sync_page", "tell"),
        "maintenance": ("audit_page", "check_connection", "fire_job", "work_job", "sweep"),
    }.items()
    for task in tasks
}
CELERY_TASK_CREATE_MISSING_QUEUES = False  # a misspelt queue fails where it is named, not by being ignored
CRM_SWEEP_SECONDS = env_int("CRM_SWEEP_SECONDS", default=10, minimum=1)
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# The five jobs as documented, once per slot of time whoever fires them; and a sweep that finds what a lost message, a
# dead worker or a wait for quota left behind.
CELERY_BEAT_SCHEDULE = {
    job: {"task": "adsapp_crm.tasks.fire_job", "args": [job], "schedule": schedule}
    for job, schedule in {
        "delta-sync": crontab(minute="*/15"),
        "health-check": crontab(minute="*/5"),
        "detect-conflicts": crontab(minute="0"),
        "retry-failed": crontab(minute="0"),
        "cleanup": crontab(minute="0", hour="0"),
    }.items()
} | {
    # Together with the lease it says how long after a worker's death its run goes on.
    "sweep": {
        "task": "adsapp_crm.tasks.sweep",
        "schedule": timedelta(seconds=CRM_SWEEP_SECONDS),
    }
}

# --- Who may enter ----------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "adsapp_crm.User"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "dashboard:log-in"
LOGIN_REDIRECT_URL = "dashboard:home"

_trusted_proxies = env_int("CRM_TRUSTED_PROXIES", default=0)
AXES_HANDLER = "config.log_in_locks.LogInLocks"
AXES_FAILURE_LIMIT = 5
CRM_LOGIN_FAILURES_PER_ADDRESS = env_int("CRM_LOGIN_FAILURES_PER_ADDRESS", default=50, minimum=5)
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_USERNAME_CALLABLE = "config.logins.name_of"
AXES_LOCKOUT_CALLABLE = "adsapp_crm.error_pages.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_VERBOSE = False
AXES_IPWARE_PROXY_COUNT = _trusted_proxies
# Headers name the client only where proxies of ours wrote them.
AXES_IPWARE_META_PRECEDENCE_ORDER = ["HTTP_X_FORWARDED_FOR", "REMOTE_ADDR"] if _trusted_proxies else ["REMOTE_ADDR"]

SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 12 * 3600
# A cookie of this name is taken from this host alone: no neighbouring subdomain can plant one.
_cookie_prefix = "__Host-" if SECURE else ""
SESSION_COOKIE_NAME = f"{_cookie_prefix}sessionid"
CSRF_COOKIE_NAME = f"{_cookie_prefix}csrftoken"
SESSION_COOKIE_SECURE = SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"  # Strict would drop the session on the way back from a CRM's consent page
CSRF_FAILURE_VIEW = "adsapp_crm.error_pages.csrf_failure"
CSRF_COOKIE_SECURE = SECURE
CSRF_COOKIE_SAMESITE = "Lax"

SECURE_SSL_REDIRECT = SECURE and env_bool("DJANGO_SSL_REDIRECT", default=True)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _trusted_proxies else None
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE
SECURE_HSTS_PRELOAD = SECURE
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = csp.STRICT

# --- API --------------------------------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.SessionAuthentication"],
    "DEFAULT_RENDERER_CLASSES": ["adsapp_crm.api.json_bodies.TotalJSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["adsapp_crm.api.json_bodies.BoundedJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "adsapp_crm.api.schema.OperationSchema",
    "EXCEPTION_HANDLER": "adsapp_crm.api.errors.answer_problem",
    "NUM_PROXIES": _trusted_proxies,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "ADSapp CRM",
    "DESCRIPTION": "Two-way synchronisation of an organization's contacts with its CRMs.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",  # no CDN: the policy allows this host alone
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/",
    "COMPONENT_SPLIT_REQUEST": True,  # what is taken and what is answered differ
    "AUTHENTICATION_WHITELIST": [
        "adsapp_crm.api.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    # Two fields with the same words share one named list of them.
    "ENUM_NAME_OVERRIDES": {
        **{
            f"{name}Enum": f"adsapp_crm.models.choices.{name}.choices"
            for name in (
                *("Role", "ConnectionStatus", "Health", "SyncMode", "SyncDirection", "ConflictStrategy", "TieRule"),
                *("BlankHandling", "DriftHandling", "OnDeletion", "SyncType", "RunPurpose", "RunTrigger", "RunState"),
                *("PlanStatus", "PlanLineStatus", "PlanLineKind", "QuestionKind", "QuestionStatus"),
                *(
                    "WebhookStatus",
                    "DeliveryStatus",
                    "AuditScope",
                    "AuditStatus",
                    "MappingReach",
                    "ConnectionEventKind",
                ),
                *("NoticeKind", "MessageStatus"),
            )
        },
        "ScopeEnum": ["read", "write", "admin"],
        "SideEnum": ["app", "crm"],
        "RecordStateEnum": "adsapp_crm.services.records.WORDS",
        "ContactStateEnum": "adsapp_crm.services.contact_search.STATES",
        "ScanEnum": ["full", "delta"],
        "ScheduleDayEnum": "adsapp_crm.api.shapes.schedules.DAYS",
        "EnvironmentEnum": ["production", "sandbox"],
        "VerdictEnum": ["ok", "skipped", "warning", "failed"],
    },
}

UNFOLD = {
    "SITE_TITLE": "ADSapp CRM",
    "SITE_HEADER": "ADSapp CRM",
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "adsapp_crm.admin.organizations.organization_label",
    "DASHBOARD_CALLBACK": "adsapp_crm.admin.board.board",
    "SITE_ICON": lambda _request: static("adsapp_crm/mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _request: static("adsapp_crm/mark.svg")}],
    "STYLES": [lambda _request: static("adsapp_crm/admin.css")],
    "SIDEBAR": {"navigation": "adsapp_crm.admin.navigation.navigation"},
}

# --- Logs -------------------------------------------------------------------------------------------------------------

LOG_LEVEL = env_choice("LOG_LEVEL", choices=("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO")
LOGGING = logs.configure(LOG_LEVEL)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG  # the line at a request's end says all that the first one does
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # behind a proxy the header is the client's own word

# --- E-mail -----------------------------------------------------------------------------------------------------------

# smtp://user:password@host:587 (STARTTLS, unless the host is this machine) or smtps://user:password@host:465. Without
# it, or without a sender, nobody is mailed.
EMAIL_URL = env_secret("EMAIL_URL", "")
CRM_MAIL_FROM = env_str("CRM_MAIL_FROM", "") if EMAIL_URL else ""
globals().update(mail_settings("EMAIL_URL", EMAIL_URL))

# --- Sync -------------------------------------------------------------------------------------------------------------

# The first key encrypts, all of them decrypt: put a new key in front, run the rotation, then drop the old one.
FERNET_KEYS = [key.strip() for key in env_secret("FERNET_KEYS", minimum_length=32).split(",") if key.strip()]

# Any of them opens the cron endpoint, so that a secret can be changed without a gap. None: the endpoint answers 503.
CRON_SECRETS = [secret.strip() for secret in env_secret("CRON_SECRET", "").split(",") if secret.strip()]

# Any of them opens /metrics. None: only this machine may read it.
CRM_METRICS_TOKENS = [
    token.strip() for token in env_secret("CRM_METRICS_TOKEN", "", minimum_length=32).split(",") if token.strip()
]

CRM_EXTRA_HOSTS = env_list("CRM_EXTRA_HOSTS")
# Not the same list: every organization's administrators name addresses, and what stands before a CRM is not theirs.
CRM_OUTGOING_HOSTS = env_list("CRM_OUTGOING_HOSTS")
# Whether each CRM's log-in comes back to /api/crm/connect/callback/<crm>; otherwise all share the guide's address.
CRM_CALLBACK_PER_PROVIDER = env_bool("CRM_CALLBACK_PER_PROVIDER", default=False)
CRM_SINGLE_ORGANIZATION = env_str("CRM_SINGLE_ORGANIZATION", "")
CRM_SYNC_WAIT_SECONDS = env_int("CRM_SYNC_WAIT_SECONDS", default=20)
CRM_SYNC_WAITERS = env_int("CRM_SYNC_WAITERS", default=2)
CRM_WEB_CALLERS = env_int("CRM_WEB_CALLERS", default=1, minimum=1)
CRM_API_REQUESTS_PER_MINUTE = env_int("CRM_API_REQUESTS_PER_MINUTE", default=600, minimum=1)
CRM_API_ORGANIZATION_REQUESTS_PER_MINUTE = env_int("CRM_API_ORGANIZATION_REQUESTS_PER_MINUTE", default=3000, minimum=1)
CRM_LEASE_SECONDS = env_int("CRM_LEASE_SECONDS", default=15, minimum=2)
CRM_LOG_RETENTION_DAYS = env_int("CRM_LOG_RETENTION_DAYS", default=30, minimum=1)
CRM_LEDGER_RETENTION_DAYS = env_int("CRM_LEDGER_RETENTION_DAYS", default=400, minimum=1)

# What an installation says about each provider, by its key; the code beside it takes what its provider declares.
# Only values that are set stand here: an address that is missing means the provider's own.
CRM_PROVIDERS: dict[str, dict[str, str]] = {
    provider: {key: value for key, value in values.items() if value}
    for provider, values in {
        "hubspot": {
            "client_id": env_str("HUBSPOT_CLIENT_ID", ""),
            "client_secret": env_secret("HUBSPOT_CLIENT_SECRET", ""),
            "webhook_secret": env_secret("HUBSPOT_WEBHOOK_SECRET", ""),
            "api_base": env_url("CRM_HUBSPOT_API_BASE", "", schemes=("https", "http")),
            "auth_base": env_url("CRM_HUBSPOT_AUTH_BASE", "", schemes=("https", "http")),
            "api_version": env_str("CRM_HUBSPOT_API_VERSION", ""),
        },
        "salesforce": {
            "client_id": env_str("SALESFORCE_CLIENT_ID", ""),
            "client_secret": env_secret("SALESFORCE_CLIENT_SECRET", ""),
            "environment": env_choice(
                "SALESFORCE_ENVIRONMENT", choices=("production", "sandbox"), default="production"
            ),
            "login_base": env_url("CRM_SALESFORCE_LOGIN_BASE", "", schemes=("https", "http")),
            "api_version": env_str("CRM_SALESFORCE_API_VERSION", ""),
            "accounts": env_str("CRM_SALESFORCE_ACCOUNTS", ""),
            "bulk_reads_from": env_str("CRM_SALESFORCE_BULK_READS_FROM", ""),
            "bulk_writes_from": env_str("CRM_SALESFORCE_BULK_WRITES_FROM", ""),
            "duplicate_alerts": env_str("CRM_SALESFORCE_DUPLICATE_ALERTS", ""),
            "note_kind": env_str("CRM_SALESFORCE_NOTE_KIND", ""),
            "requests_per_second": env_str("CRM_SALESFORCE_REQUESTS_PER_SECOND", ""),
        },
        "pipedrive": {
            "api_token": env_secret("PIPEDRIVE_API_TOKEN", ""),
            "client_id": env_str("PIPEDRIVE_CLIENT_ID", ""),
            "client_secret": env_secret("PIPEDRIVE_CLIENT_SECRET", ""),
            "api_base": env_url("CRM_PIPEDRIVE_API_BASE", "", schemes=("https", "http")),
            "auth_base": env_url("CRM_PIPEDRIVE_AUTH_BASE", "", schemes=("https", "http")),
            "api_version": env_str("CRM_PIPEDRIVE_API_VERSION", ""),
            "create_organizations": env_str("CRM_PIPEDRIVE_CREATE_ORGANIZATIONS", ""),
        },
    }.items()
}
