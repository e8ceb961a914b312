// A connector's ordinary day with Pipedrive's own client. Argument: JSON with the fake's address and credentials.
// Prints one JSON object: what the client gave back at each step.
const { v1, v2 } = require("pipedrive");

const given = JSON.parse(process.argv[2]);
const api2 = new v2.Configuration({ apiKey: given.token, basePath: `${given.url}/api/v2` });
const api1 = new v1.Configuration({ apiKey: given.token, basePath: `${given.url}/v1` });
const persons = new v2.PersonsApi(api2);
const seen = {};

async function refusal(call) {
  try {
    return { answered: await call() };
  } catch (error) {
    return error;
  }
}

async function pages() {
  const ids = [];
  let cursor;
  let count = 0;
  do {
    const page = await persons.getPersons({ limit: 2, sort_by: "id", ...(cursor ? { cursor } : {}) });
    ids.push(...page.data.map((person) => person.id));
    cursor = page.additional_data.next_cursor;
    count += 1;
  } while (cursor);
  return { ids, count };
}

async function main() {
  seen.me = (await new v1.UsersApi(api1).getCurrentUser()).data;
  seen.users = (await new v1.UsersApi(api1).getUsers()).data.map((user) => user.email);

  const fields = new v2.PersonFieldsApi(api2);
  const language = await fields.addPersonField({
    AddPersonFieldRequest: { field_name: "Language", field_type: "enum", options: [{ label: "es" }, { label: "en" }] },
  });
  seen.language = language.data;
  const marker = await fields.addPersonField({
    AddPersonFieldRequest: { field_name: "App contact id", field_type: "varchar" },
  });
  const code = marker.data.field_code;
  seen.fieldCodes = (await fields.getPersonFields({ limit: 500 })).data.map((field) => field.field_code);

  const organizations = new v2.OrganizationsApi(api2);
  const acme = await organizations.addOrganization({ AddOrganizationRequest: { name: "Acme" } });
  seen.organization = acme.data;

  const ana = await persons.addPerson({
    AddPersonRequest: {
      name: "Ana Lopez",
      org_id: acme.data.id,
      emails: [{ value: "ana@acme.test", label: "work", primary: true }],
      custom_fields: { [code]: "c-1042", [language.data.field_code]: language.data.options[0].id },
    },
  });
  seen.created = ana.data;
  seen.changed = (
    await persons.updatePerson({
      id: ana.data.id,
      UpdatePersonRequest: { phones: [{ value: "+34600111222", label: "mobile", primary: true }] },
    })
  ).data;
  for (const name of ["Ana L", "Bob", "Carl", "Dora"]) {
    await persons.addPerson({ AddPersonRequest: { name } });
  }
  seen.pages = await pages();
  seen.delta = (await persons.getPersons({ updated_since: "2020-01-01T00:00:00Z", sort_by: "update_time" })).data.map(
    (person) => person.id,
  );
  seen.found = (
    await persons.searchPersons({ term: "ANA@acme.test", fields: "email", exact_match: true })
  ).data.items;
  seen.byMarker = (
    await new v2.ItemSearchApi(api2).searchItemByField({ term: "c-1042", entity_type: "person", field: code })
  ).data;

  const notes = new v1.NotesApi(api1);
  seen.note = (await notes.addNote({ AddNoteRequest: { content: "Called", person_id: ana.data.id } })).data;
  seen.notes = (await notes.getNotes({ person_id: ana.data.id })).data.map((note) => note.content);
  seen.merged = (
    await new v1.PersonsApi(api1).mergePersons({ id: 2, MergePersonsRequest: { merge_with_id: ana.data.id } })
  ).data;
  seen.deleted = (await persons.deletePerson({ id: 3 })).data;
  seen.afterDelete = (await persons.getPerson({ id: 3 })).data.is_deleted;

  const hooks = new v1.WebhooksApi(api1);
  const hook = await hooks.addWebhook({
    AddWebhookRequest: {
      name: "Sync",
      subscription_url: "https://app.example/hook",
      event_action: "*",
      event_object: "person",
      version: "2.0",
    },
  });
  seen.hooks = (await hooks.getWebhooks()).data.map((each) => each.id);
  seen.hookRemoved = await hooks.deleteWebhook({ id: hook.data.id });

  seen.badOwner = await refusal(() => persons.addPerson({ AddPersonRequest: { name: "X", owner_id: 7 } }));
  seen.missing = await refusal(() => persons.getPerson({ id: 999 }));
  const stranger = new v2.PersonsApi(new v2.Configuration({ apiKey: "wrong", basePath: `${given.url}/api/v2` }));
  seen.stranger = await refusal(() => stranger.getPersons());

  const oauth = new v2.OAuth2Configuration({ ...given.oauth, host: given.url });
  seen.token = await oauth.authorize(given.code);
  seen.refreshed = await oauth.tokenRefresh();
  const asApp = new v2.PersonsApi(
    new v2.Configuration({ accessToken: oauth.getAccessToken, basePath: oauth.basePath }),
  );
  seen.asApp = (await asApp.getPersons({ limit: 1 })).data.length;
  seen.base = oauth.basePath;
}

main().then(
  () => process.stdout.write(JSON.stringify(seen)),
  (error) => {
    process.stderr.write(error && error.stack ? error.stack : JSON.stringify(error));
    process.exit(1);
  },
);
