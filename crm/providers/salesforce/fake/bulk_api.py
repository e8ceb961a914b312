"""Bulk API 2.0: ingest and query jobs.

Page: Bulk API 2.0 Developer Guide
"""

from __future__ import annotations

from typing import Final

from crm.providers.salesforce.fake import answers, soql_parser
from crm.providers.salesforce.fake.answers import AnswerError, Json
from crm.providers.salesforce.fake.bulk_jobs import DELIMITERS, LINE_ENDS, Ingest, Job
from crm.providers.salesforce.fake.caller import session_of, write_options
from crm.providers.salesforce.fake.describe_api import BASE
from crm.providers.salesforce.fake.limits import RateLimits
from crm.providers.salesforce.fake.rows_api import row_body
from crm.providers.salesforce.fake.soql import QueryRunner
from crm.providers.salesforce.fake.state import State
from crm.providers.salesforce.fake.writes import Writer
from crm.testing.wsgi import Request, Response, Router, json_response, no_content

INGESTS: Final = ("insert", "update", "upsert", "delete", "hardDelete")
MAX_RECORDS: Final = 50_000
MAX_UPLOAD_BYTES: Final = 150_000_000
BATCH_ROWS: Final = 10_000


class BulkApi:
    """``job_seconds`` is how long a job is under way before it is done."""

    def __init__(self, state: State, writer: Writer, runner: QueryRunner, limits: RateLimits) -> None:
        self._state = state
        self._limits = limits
        self._ingest = Ingest(state, writer)
        self._runner = runner
        self.jobs: dict[str, Job] = {}
        self.job_seconds = 0.0

    def mount(self, router: Router) -> None:
        for verb in ("ingest", "query"):
            base = f"{BASE}/jobs/{verb}"
            router.add("POST", base, self.create)
            router.add("GET", base, self.listed)
            router.add("GET", f"{base}/{{job}}", self.read)
            router.add("PATCH", f"{base}/{{job}}", self.change)
            router.add("DELETE", f"{base}/{{job}}", self.delete)
        router.add("PUT", f"{BASE}/jobs/ingest/{{job}}/batches", self.upload)
        for name in ("successfulResults", "failedResults", "unprocessedrecords", "unprocessedRecords"):
            router.add("GET", f"{BASE}/jobs/ingest/{{job}}/{name}", self.ingest_results)
        router.add("GET", f"{BASE}/jobs/query/{{job}}/results", self.query_results)

    def create(self, request: Request) -> Response:
        body = row_body(request)
        is_query = "/jobs/query" in request.path
        operation = str(body.get("operation", ""))
        if operation not in (("query", "queryAll") if is_query else INGESTS):
            raise answers.plain(400, "INVALIDJOB", f"InvalidJob : Unable to find operation {operation!r}")
        delimiter, line_end = str(body.get("columnDelimiter", "COMMA")), str(body.get("lineEnding", "LF"))
        if delimiter not in DELIMITERS or line_end not in LINE_ENDS:
            raise answers.plain(400, "INVALIDJOB", "InvalidJob : columnDelimiter or lineEnding is not supported")
        job = Job(
            job_id=self._state.new_id("750"),
            operation=operation,
            object_name="",
            user_id=session_of(request).user_id,
            created_ms=self._state.clock.now_ms(),
            version=request.params["version"],
            delimiter=delimiter,
            line_end=line_end,
            options=write_options(request),
        )
        (self._limits.admit_query_job if is_query else self._limits.admit_ingest_job)()
        self._prepare(job, body)
        self.jobs[job.job_id] = job
        return json_response(job.shown())

    def _prepare(self, job: Job, body: Json) -> None:
        if job.is_query:
            job.query = str(body.get("query", ""))
            query = soql_parser.parse(job.query)
            if query.is_count or query.offset or any(column.function for column in query.columns):
                raise answers.plain(400, "API_ERROR", "Bulk API 2.0 queries know no aggregates and no OFFSET")
            result = self._runner.run(query, with_deleted=job.operation == "queryAll")
            job.object_name, job.state = result.kind.name, "UploadComplete"
            job.ready_ms = self._state.clock.now_ms() + round(self.job_seconds * 1000)
            return
        kind = self._state.schema.find_type(str(body.get("object", "")))
        if kind is None or kind.is_setup:
            raise answers.plain(400, "INVALIDENTITY", f"InvalidEntity : Entity '{body.get('object')}' is not supported")
        job.object_name = kind.name
        if job.operation == "upsert":
            key = self._state.schema.field(kind, str(body.get("externalIdFieldName", "")))
            if key is None or not (key.external_id or key.type == "id"):
                message = f"InvalidJob : Field name provided, {body.get('externalIdFieldName')} is not an External ID"
                raise answers.plain(400, "INVALIDJOB", message)
            job.key_name = key.name

    def listed(self, request: Request) -> Response:
        is_query = "/jobs/query" in request.path
        records = [job.shown() for job in self.jobs.values() if job.is_query == is_query]
        return json_response({"done": True, "nextRecordsUrl": None, "records": records})

    def read(self, request: Request) -> Response:
        job = self._job(request)
        self._progress(job)
        return json_response(job.shown())

    def upload(self, request: Request) -> Response:
        job = self._job(request)
        if not request.headers.get("content-type", "").startswith("text/csv"):
            raise answers.plain(400, "INVALID_CONTENT_TYPE", "Content-Type: text/csv is required")
        if job.state != "Open" or job.upload is not None:
            message = "InvalidJobState : The job is not Open, or its data is already there"
            raise answers.plain(400, "INVALIDJOBSTATE", message)
        if len(request.body) > MAX_UPLOAD_BYTES:
            raise answers.plain(413, "LIMIT_EXCEEDED", "The data is larger than 150 MB")
        job.upload = request.body.decode("utf-8", "replace")
        return Response(201)

    def change(self, request: Request) -> Response:
        job, wanted = self._job(request), row_body(request).get("state")
        if wanted == "Aborted" and job.state in ("Open", "UploadComplete", "InProgress"):
            job.state = "Aborted"
        elif wanted == "UploadComplete" and job.state == "Open" and not job.is_query:
            job.state = "UploadComplete"
            self._limits.bulk_batches.add(max(1, -(-(len(job.uploaded()) - 1) // BATCH_ROWS)))
            job.ready_ms = self._state.clock.now_ms() + round(self.job_seconds * 1000)
        else:
            message = f"InvalidJobState : Updating job status to {wanted} is not allowed from {job.state}"
            raise answers.plain(400, "INVALIDJOBSTATE", message)
        return json_response(job.shown())

    def delete(self, request: Request) -> Response:
        job = self._job(request)
        if job.state in ("Open", "UploadComplete", "InProgress"):
            raise answers.plain(400, "API_ERROR", "The job is not JobComplete, Failed or Aborted")
        del self.jobs[job.job_id]
        return no_content()

    def ingest_results(self, request: Request) -> Response:
        job = self._job(request)
        match request.template.rsplit("/", 1)[1]:
            case "successfulResults":
                body = job.csv(["sf__Id", "sf__Created", *job.header], job.successful)
            case "failedResults":
                body = job.csv(["sf__Id", "sf__Error", *job.header], job.failed)
            case _:
                header, *rows = job.uploaded() or [[]]
                body = job.csv(job.header or header, [] if job.state == "JobComplete" else rows)
        return Response(200, body, [("Content-Type", "text/csv")])

    def query_results(self, request: Request) -> Response:
        """A page: ``Sforce-Locator`` is the next one, ``null`` on the last."""
        job = self._job(request)
        self._progress(job)
        if job.state != "JobComplete":
            raise answers.plain(400, "INVALIDJOBSTATE", f"InvalidJobState : results of a job that is {job.state}")
        asked = request.first("maxRecords") or str(MAX_RECORDS)
        if not asked.isdecimal() or int(asked) < 1:
            raise answers.plain(400, "INVALID_INPUT", "maxRecords: a whole number from 1")
        most = min(MAX_RECORDS, int(asked))
        locator = request.first("locator") or "0"
        if not locator.isdecimal() or int(locator) > len(job.rows):
            raise answers.plain(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        start = int(locator)
        rows = job.rows[start : start + most]
        end = start + len(rows)
        headers = [
            ("Content-Type", "text/csv"),
            ("Sforce-Locator", "null" if end >= len(job.rows) else str(end)),
            ("Sforce-NumberOfRecords", str(len(rows))),
        ]
        return Response(200, job.csv(job.header, rows), headers)

    def _progress(self, job: Job) -> None:
        if job.state not in ("UploadComplete", "InProgress"):
            return
        if self._state.clock.now_ms() < job.ready_ms:
            job.state = "InProgress"
            return
        if not job.is_query:
            self._ingest.carry_out(job, self._state.schema.types[job.object_name])
            return
        try:
            result = self._runner.run(soql_parser.parse(job.query), with_deleted=job.operation == "queryAll")
        except AnswerError as error:
            job.state, job.error = "Failed", str(error)
            return
        job.header = self._runner.csv_header(result)
        job.rows = [self._runner.csv_row(result, seen) for _, seen in result.records]
        job.state = "JobComplete"

    def _job(self, request: Request) -> Job:
        job = self.jobs.get(request.params["job"])
        if job is None or job.is_query != ("/jobs/query" in request.path):
            raise answers.not_found()
        return job
