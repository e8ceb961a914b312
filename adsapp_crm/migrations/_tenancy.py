"""Migration operations that put tables behind row-level security. They read the model state, so a table is only named."""

# ruff: noqa: S608  names come from migrations and settings
from __future__ import annotations

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation, OperationCategory
from django.db.migrations.state import ProjectState

from adsapp_crm import conf

CURRENT = "nullif(current_setting('app.org', true), '')::uuid"
"""The transaction's organization; unset and empty are both NULL, which equals no row."""


class Isolate(Operation):
    """Bind tables to the transaction's organization, their owner too, and their references to one organization.

    For each model with an ``organization``: a unique (organization_id, id), a composite foreign key
    beside every reference to another such model (a plain one would accept, and so reveal, another
    organization's row), and the policy. Reversible.
    """

    category = OperationCategory.SQL
    reduces_to_sql = True
    reversible = True

    def __init__(self, *model_names: str) -> None:
        self.model_names = model_names

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, _from: ProjectState, to_state: ProjectState
    ) -> None:
        tables = [to_state.apps.get_model(app_label, name) for name in self.model_names]
        for model in tables:
            table = model._meta.db_table
            key = "id" if model._meta.model_name == "organization" else "organization_id"
            if key == "organization_id":
                schema_editor.execute(
                    f'ALTER TABLE "{table}" ADD CONSTRAINT "{table}_org_id" UNIQUE (organization_id, id)'
                )
            schema_editor.execute(f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY')
            schema_editor.execute(f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY')
            schema_editor.execute(
                f'CREATE POLICY organization ON "{table}" USING ({key} = {CURRENT}) WITH CHECK ({key} = {CURRENT})'
            )
            schema_editor.execute(f'GRANT SELECT, INSERT, UPDATE, DELETE ON "{table}" TO "{conf.app_role()}"')
        for model in tables:
            for column, target, on_delete in _references(model):
                schema_editor.execute(
                    f'ALTER TABLE "{model._meta.db_table}"'
                    f' ADD CONSTRAINT "{_name(model, column)}" FOREIGN KEY (organization_id, "{column}")'
                    f' REFERENCES "{target}" (organization_id, id) {on_delete} DEFERRABLE INITIALLY IMMEDIATE'
                )

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, _to: ProjectState
    ) -> None:
        tables = [from_state.apps.get_model(app_label, name) for name in self.model_names]
        for model in tables:
            for column, _target, _on_delete in _references(model):
                schema_editor.execute(f'ALTER TABLE "{model._meta.db_table}" DROP CONSTRAINT "{_name(model, column)}"')
        for model in tables:
            table = model._meta.db_table
            schema_editor.execute(f'DROP POLICY organization ON "{table}"')
            schema_editor.execute(f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY')
            schema_editor.execute(f'ALTER TABLE "{table}" DISABLE ROW LEVEL SECURITY')
            if model._meta.model_name != "organization":
                schema_editor.execute(f'ALTER TABLE "{table}" DROP CONSTRAINT "{table}_org_id"')

    def describe(self) -> str:
        return f"Put {', '.join(self.model_names)} behind row-level security"


def _references(model: type[models.Model]) -> list[tuple[str, str, str]]:
    """(column, table, what a deletion there does here) of each reference that Django leaves to us."""
    found = []
    for field in model._meta.local_fields:
        if isinstance(field, models.ForeignKey) and not field.db_constraint:
            rule = f"ON DELETE SET NULL ({field.column})" if field.remote_field.on_delete is models.SET_NULL else ""
            found.append((field.column, field.related_model._meta.db_table, rule))
    return found


def _name(model: type[models.Model], column: str) -> str:
    return f"{model._meta.db_table}_{column}_org_fk"


class LookUp(Operation):
    """A function that answers before an organization is known: ids and health columns, never contents.

    It runs as the look-up role, which nobody logs in as and which may read the named columns of the
    named tables; under FORCE the tables' owner would see nothing.
    """

    category = OperationCategory.SQL
    reduces_to_sql = True
    reversible = True

    def __init__(self, signature: str, returns: str, body: str) -> None:
        self.signature = signature
        self.returns = returns
        self.body = body

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self, _label: str, schema_editor: BaseDatabaseSchemaEditor, _from: ProjectState, _to: ProjectState
    ) -> None:
        schema_editor.execute(f'SET LOCAL ROLE "{conf.lookup_role()}"')
        schema_editor.execute(
            f"CREATE FUNCTION {self.signature} RETURNS TABLE ({self.returns}) LANGUAGE sql STABLE SECURITY DEFINER"
            f" SET search_path = public, pg_temp AS $body$ {self.body} $body$"
        )
        schema_editor.execute(f"REVOKE ALL ON FUNCTION {self._identity()} FROM PUBLIC")
        schema_editor.execute(f'GRANT EXECUTE ON FUNCTION {self._identity()} TO "{conf.app_role()}"')
        schema_editor.execute("RESET ROLE")

    def database_backwards(
        self, _label: str, schema_editor: BaseDatabaseSchemaEditor, _from: ProjectState, _to: ProjectState
    ) -> None:
        schema_editor.execute(f'SET LOCAL ROLE "{conf.lookup_role()}"')
        schema_editor.execute(f"DROP FUNCTION {self._identity()}")
        schema_editor.execute("RESET ROLE")

    def _identity(self) -> str:
        """Name and argument types, without the arguments' names."""
        name, _, rest = self.signature.partition("(")
        arguments = [part.split()[-1] for part in rest.rstrip(")").split(",") if part.strip()]
        return f"{name}({', '.join(arguments)})"

    def describe(self) -> str:
        return f"Add the look-up {self._identity()}"


class DropLookUp(LookUp):
    """Take a look-up away, to make it anew; said in full, so that going back makes it as it was."""

    def database_forwards(
        self, label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        super().database_backwards(label, schema_editor, from_state, to_state)

    def database_backwards(
        self, label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        super().database_forwards(label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"Drop the look-up {self._identity()}"


class LetLookUpsRead(Operation):
    """Give the look-up role a policy on a table and SELECT on some of its columns."""

    category = OperationCategory.SQL
    reduces_to_sql = True
    reversible = True

    def __init__(self, table: str, *columns: str) -> None:
        self.table = table
        self.columns = columns

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        pass

    def database_forwards(
        self, _label: str, schema_editor: BaseDatabaseSchemaEditor, _from: ProjectState, _to: ProjectState
    ) -> None:
        role = conf.lookup_role()
        schema_editor.execute(f'CREATE POLICY look_up ON "{self.table}" FOR SELECT TO "{role}" USING (true)')
        schema_editor.execute(f'GRANT SELECT ({", ".join(self.columns)}) ON "{self.table}" TO "{role}"')

    def database_backwards(
        self, _label: str, schema_editor: BaseDatabaseSchemaEditor, _from: ProjectState, _to: ProjectState
    ) -> None:
        role = conf.lookup_role()
        schema_editor.execute(f'REVOKE SELECT ({", ".join(self.columns)}) ON "{self.table}" FROM "{role}"')
        schema_editor.execute(f'DROP POLICY look_up ON "{self.table}"')

    def describe(self) -> str:
        return f"Let the look-ups read {', '.join(self.columns)} of {self.table}"


class LetLookUpsReadMore(LetLookUpsRead):
    """Further columns of a table that has the policy already."""

    def database_forwards(
        self, _label: str, schema_editor: BaseDatabaseSchemaEditor, _from: ProjectState, _to: ProjectState
    ) -> None:
        schema_editor.execute(f'GRANT SELECT ({", ".join(self.columns)}) ON "{self.table}" TO "{conf.lookup_role()}"')

    def database_backwards(
        self, _label: str, schema_editor: BaseDatabaseSchemaEditor, _from: ProjectState, _to: ProjectState
    ) -> None:
        schema_editor.execute(
            f'REVOKE SELECT ({", ".join(self.columns)}) ON "{self.table}" FROM "{conf.lookup_role()}"'
        )
