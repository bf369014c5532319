// A client as web applications have it: fetch, and a session that is kept and renewed when it has ended.
//
//   node client.mjs http://127.0.0.1:8080 demo demo-demo-demo DEMO [API_KEY]
//
// Exits with 0 only if every answer is the expected one.

import { deepStrictEqual as expect } from "node:assert/strict";

const RENEW = "COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION";

class CrmError extends Error {
  constructor({ code, message, description }) {
    super(`${code}: ${message} ${description}`);
    this.code = code;
  }
}

class Crm {
  token = null;
  logins = 0;

  constructor(host, credentials) {
    this.base = `${host}/crmapi/rest/v2/`;
    this.credentials = credentials;
  }

  async logIn() {
    this.token = (await this.#post("authentication/token", this.credentials)).token;
    this.logins += 1;
  }

  async logInWithKey(key) {
    // The key is the user name. `btoa(key)` without the colon is as common.
    const headers = { authorization: `Basic ${btoa(key)}` };
    this.token = (await this.#post("authentication/web_api_key/token", {}, headers)).token;
  }

  // Calls a method by POST, once more if the session has ended.
  call(method, parameters = {}) {
    return this.#renewing(() => this.#post(method, { token: this.token, ...parameters }));
  }

  // Calls a method by GET. The inner `=` stays as it is, as in the documentation.
  query(method, parameters) {
    const pairs = Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
    return this.#renewing(() => this.#send(`${method}?token=${this.token}&${pairs.join("&")}`));
  }

  async #renewing(once) {
    try {
      return await once();
    } catch (error) {
      if (error.code !== RENEW) throw error;
      await this.logIn();
      return once();
    }
  }

  // A string as body has the content type text/plain, which nobody ever minded.
  #post(method, body, headers = {}) {
    return this.#send(method, { method: "POST", headers, body: JSON.stringify(body) });
  }

  async #send(path, options = {}) {
    const answer = await fetch(this.base + path, options);
    // Anything but 200 is a failure of the line to such a client.
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    const { status, data } = await answer.json();
    if (status.code !== "OK") throw new CrmError(status);
    return data;
  }
}

async function expectError(reason, call) {
  const error = await call().then(() => new Error("there was no error"), (error) => error);
  expect(error.code, `COM.CRM.EXCEPTION.ACCESSTOKENS.${reason}EXCEPTION`, error.message);
}

const [host, username, password, organisation, key] = process.argv.slice(2);
const crm = new Crm(host, { username, password, organisation });
await crm.logIn();
await expectError("INVALIDLOGIN", () => new Crm(host, { username, password: "wrong", organisation }).logIn());

const card = { access_token_identifier: { authentication_code: "99021047380" } };
expect((await crm.call("access_tokens/show", card)).number, "AT0000000671");

const listed = await crm.query("access_tokens/list", {
  accounts_receivable_identifier: "number=ACR001018",
  fields_set: "number,verified_date",
});
expect(listed[0], { number: "ACT0000000231", verified_date: null });

const code = Math.round((performance.timeOrigin + performance.now()) * 1000);
const created = await crm.call("access_tokens/create", {
  authentication_code: code, // A number, as such clients send it.
  identifier: `node-${code}`,
  pass_code: "p@ss wörd",
  accounts_receivable_identifier: { number: "ACR000783" },
  udf_string_1: "one",
  udf_string_2: "two",
});
expect(created.authentication_code, String(code));
expect([created.life_cycle_state, created.accounts_receivable.account_owner.first_name], ["EFFECTIVE", "Rose"]);
await expectError("AUTHENTICATIONCODEALREADYEXISTS", () => crm.call("access_tokens/create", { authentication_code: code }));

const login = { access_token_identifier: { identifier: `node-${code}`, pass_code: "p@ss wörd" } };
const updated = await crm.call("access_tokens/update", { ...login, udf_string_1: null, fields_set: "udf_string_1,udf_string_2" });
expect(updated, { udf_string_1: null, udf_string_2: "two" }, "null clears, absent stays");

// Somebody ends the session. The next call gets a new one, and nobody notices.
await crm.call("authentication/token/release");
expect((await crm.call("access_tokens/show", login)).number, created.number);
expect(crm.logins, 2);
crm.token = "641070EA9DF042E48CDA1B6414ACABC5";
expect((await crm.query("access_tokens/get_not_associated", { number: 1 })).length, 1);
expect(crm.logins, 3);

const named = { access_token_identifier: { number: created.number } };
expect((await crm.call("access_tokens/set_as_not_effective", named)).life_cycle_state, "NOT_EFFECTIVE");
await expectError("WRONGLIFECYCLESTATE", () => crm.call("access_tokens/generate_otp", named));
expect((await crm.call("access_tokens/set_as_effective", named)).life_cycle_state, "EFFECTIVE");

if (key) {
  await crm.logInWithKey(key);
  expect((await crm.call("access_tokens/show", named)).number, created.number);
}
console.log("javascript: the client works unchanged");
