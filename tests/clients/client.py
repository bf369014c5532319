"""A client as scripts in Python have it: requests, and a session that is kept and renewed when it has ended.

    python client.py http://127.0.0.1:8080 demo demo-demo-demo DEMO [API_KEY]

Exits with 0 only if every answer is the expected one.
"""

import sys
import time

import requests

RENEW = "COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION"


class CrmError(Exception):
    def __init__(self, status):
        super().__init__("{code}: {message} {description}".format(**status))
        self.code = status["code"]


class Crm:
    def __init__(self, host, **credentials):
        self.base = f"{host}/crmapi/rest/v2/"
        self.credentials = credentials
        self.http = requests.Session()
        # A proxy in the environment is for the world outside.
        self.http.trust_env = False
        self.token = None
        self.logins = 0

    def log_in(self):
        self.token = self._post("authentication/token", self.credentials)["token"]
        self.logins += 1

    def log_in_with_key(self, key):
        # The key is the user name, and the password is empty.
        self.token = self._post("authentication/web_api_key/token", {}, auth=(key, ""))["token"]

    def call(self, method, **parameters):
        """Calls a method by POST, once more if the session has ended."""
        return self._renewing(lambda: self._post(method, {"token": self.token, **parameters}))

    def query(self, method, **parameters):
        """Calls a method by GET."""
        def once():
            parameters["token"] = self.token
            return self._data(self.http.get(self.base + method, params=parameters, timeout=30))
        return self._renewing(once)

    def _renewing(self, once):
        try:
            return once()
        except CrmError as error:
            if error.code != RENEW:
                raise
            self.log_in()
            return once()

    def _post(self, method, body, **options):
        return self._data(self.http.post(self.base + method, json=body, timeout=30, **options))

    @staticmethod
    def _data(answer):
        # Anything but 200 is a failure of the line to such a client.
        answer.raise_for_status()
        envelope = answer.json()
        if envelope["status"]["code"] != "OK":
            raise CrmError(envelope["status"])
        return envelope.get("data")


def expect(expected, found, what):
    if expected != found:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def expect_error(reason, call):
    try:
        call()
    except CrmError as error:
        expect(f"COM.CRM.EXCEPTION.ACCESSTOKENS.{reason}EXCEPTION", error.code, "the error")
    else:
        raise AssertionError(f"there was no error, but should be {reason}")


def main(host, username, password, organisation, key=None):
    crm = Crm(host, username=username, password=password, organisation=organisation)
    crm.log_in()
    expect_error("INVALIDLOGIN", Crm(host, username=username, password="wrong", organisation=organisation).log_in)

    card = {"authentication_code": "99021047380"}
    expect("AT0000000671", crm.call("access_tokens/show", access_token_identifier=card)["number"], "the number of the card")

    wanted = "number, verified_date"
    listed = crm.query("access_tokens/list", accounts_receivable_identifier="number=ACR001018", fields_set=wanted)
    expect({"number": "ACT0000000231", "verified_date": None}, listed[0], "the first token of the account")
    listed = crm.query("access_tokens/list/", rewards_participant_identifier="number=115", number_of_results=1)
    expect(["115"], [token["rewards_participant"]["number"] for token in listed], "the participant's tokens")

    code = time.time_ns() // 1000
    created = crm.call(
        "access_tokens/create",
        authentication_code=code,  # A number, as such clients send it.
        identifier=f"python-{code}",
        pass_code="p@ss wörd",
        accounts_receivable_identifier={"number": "ACR000783"},
        udf_string_1="one",
        udf_string_2="two",
        udf_float_1=1,
        udf_date_1="2015-11-27T16:08:55",
    )
    expect(str(code), created["authentication_code"], "the code")
    expect(("EFFECTIVE", "Rose"), (created["life_cycle_state"], created["accounts_receivable"]["account_owner"]["first_name"]), "the state and the owner")
    expect((1.0, "2015-11-27T16:08:55"), (created["udf_float_1"], created["udf_date_1"]), "the user defined fields")
    expect_error("AUTHENTICATIONCODEALREADYEXISTS", lambda: crm.call("access_tokens/create", authentication_code=code))
    expect_error("UNKNOWNFIELD", lambda: crm.call("access_tokens/create", identifer="misspelt"))

    login = {"identifier": f"python-{code}", "pass_code": "p@ss wörd"}
    updated = crm.call("access_tokens/update", access_token_identifier=login, udf_string_1=None, fields_set="udf_string_1,udf_string_2")
    expect({"udf_string_1": None, "udf_string_2": "two"}, updated, "null clears, absent stays")
    updated = crm.call("access_tokens/update", access_token_identifier=login, authentication_code=None, fields_set="authentication_code")
    expect(32, len(updated["authentication_code"]), "the length of the new code")

    # Somebody ends the session. The next call gets a new one, and nobody notices.
    crm.call("authentication/token/release")
    expect(created["number"], crm.call("access_tokens/show", access_token_identifier=login)["number"], "the number after renewal")
    expect(2, crm.logins, "the number of logins")
    crm.token = "641070EA9DF042E48CDA1B6414ACABC5"
    expect(1, len(crm.query("access_tokens/get_not_associated", number=1)), "the tokens without an owner")
    expect(3, crm.logins, "the number of logins")

    named = {"number": created["number"]}
    expect("NOT_EFFECTIVE", crm.call("access_tokens/set_as_not_effective", access_token_identifier=named)["life_cycle_state"], "the state")
    expect_error("WRONGLIFECYCLESTATE", lambda: crm.call("access_tokens/generate_otp", access_token_identifier=named))
    expect("EFFECTIVE", crm.call("access_tokens/set_as_effective", access_token_identifier=named)["life_cycle_state"], "the state")
    reset = crm.call("access_tokens/reset_pass_code", identifier=login["identifier"])
    login["pass_code"] = reset["random_pass_code"]
    crm.call("access_tokens/show", access_token_identifier=login)

    if key:
        crm.log_in_with_key(key)
        expect(created["number"], crm.call("access_tokens/show", access_token_identifier=named)["number"], "the number by API key")
    print("python: the client works unchanged")


if __name__ == "__main__":
    main(*sys.argv[1:])
