"""Every name, label and value of a label in alerts and dashboard is one that the running service shows.

    python metrics.py AUTHORITY HTTP_ADDRESS OPS_ADDRESS...

The service is `serve --demo`, and the gateway a process of its own: the ports for operators of both are given. All ports are
encrypted, with certificates of the authority. Calls are made first, over the gateway, since some series begin with an event.
"""

import json
import re
import ssl
import sys
import urllib.error
import urllib.request

import promql_parser as promql

from expressions import TARGET, labels, selectors, shown_labels, written
from findings import Findings
from project import ROOT

# What Prometheus itself says of whatever it scrapes.
OF_PROMETHEUS = {"up": {}}
CODE, METHOD = "rpc_grpc_status_code", "rpc_method"

# Jobs of Prometheus, one for each process.
JOBS = {"access-tokens", "access-tokens-gateway"}


def provoke(direct, base):
    """One call of each kind: answered, refused, with a right and a wrong secret, with a code."""

    def call(path, **body):
        request = urllib.request.Request(f"https://{base}/v1/{path}", json.dumps(body).encode())
        try:
            return json.load(direct.open(request, timeout=30))
        except urllib.error.HTTPError as refused:
            return json.load(refused)

    login = call("authentication/token", username="demo", password="demo-demo-demo", organisation="DEMO")
    token = login["data"]["token"]
    call("authentication/token", username="demo", password="wrong", organisation="DEMO")
    named = {"authentication_code": "99021047380"}
    shown = call("access_tokens/show", token=token, access_token_identifier=named)
    assert shown["status"]["code"] == "OK", shown
    call("access_tokens/show", token=token, access_token_identifier={"authentication_code": "nobody"})
    call("access_tokens/generate_otp", token=token, access_token_identifier=named)
    wrong = {"identifier": "250", "pass_code": "wrong"}
    call("access_tokens/show", token=token, access_token_identifier=wrong)


def exposed(text):
    """What /metrics shows: for each name of a series its labels, each with its values."""
    series = {}
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        name, rest = re.match(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})? ", line).groups()
        there = series.setdefault(name, {})
        for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', rest or ""):
            there.setdefault(label, set()).add(value)
    return series


def complete(series):
    """With the values that come only when something breaks: every method of the contract, every code of gRPC."""
    methods = set()
    for file in (ROOT / "proto/accesstoken/v1").glob("*_service.proto"):
        service = re.search(r"^service (\w+)", file.read_text(), re.M)[1]
        methods |= {f"accesstoken.v1.{service}/{name}" for name in re.findall(r"^  rpc (\w+)\(", file.read_text(), re.M)}
    for there in series.values():
        if METHOD in there:
            assert there[METHOD] <= methods | {"unknown"}, there[METHOD]
            there[METHOD] |= methods
        if CODE in there:
            there[CODE] |= {str(code) for code in range(17)}
    return series


def main(authority, http, *ops):
    encrypted = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority))
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), encrypted)
    provoke(direct, http)
    known = dict(OF_PROMETHEUS)
    for address in ops:
        text = direct.open(f"https://{address}/metrics", timeout=30).read().decode()
        for name, there in complete(exposed(text)).items():
            for label, values in there.items():
                known.setdefault(name, {}).setdefault(label, set()).update(values)
            known.setdefault(name, {})
    findings, used = Findings(), set()
    asked = list(written())
    for where, expression, texts in asked:
        tree = promql.parse(expression)
        for one in selectors(tree):
            used.add(one.name)
            if not findings.require(one.name in known, f"{where}: no metric has the name {one.name}"):
                continue
            for matcher in one.matchers.matchers:
                values = known[one.name].get(matcher.name)
                if matcher.name in TARGET:
                    findings.require(matcher.name != "job" or set(matcher.value.split("|")) <= JOBS,
                                     f"{where}: the jobs are {sorted(JOBS)}, not {matcher.value}")
                elif findings.require(values is not None, f"{where}: {one.name} has no label {matcher.name}"):
                    regular = matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe)
                    for part in matcher.value.split("|") if regular else [re.escape(matcher.value)]:
                        findings.require(any(re.fullmatch(part, value) for value in values),
                                         f"{where}: no {matcher.name} of {one.name} is like {matcher.value}")
        there, wrong = labels(tree, lambda name: set(known.get(name, {})))
        for label, among in wrong:
            findings.require(False, f"{where}: grouped by {label}, among {sorted(among)}")
        for label in sorted(shown_labels(texts) - there):
            findings.require(False, f"{where}: shows the label {label}, and has {sorted(there)}")
        if where.startswith("access_tokens:"):
            known[where] = {label: set() for label in there}
    unseen = sorted(name for name in known if name.startswith(("access_tokens", "rpc")) and name not in used)
    print(f"{len(asked)} expressions ask for {len(used)} of {len(known)} names; nobody asks for: {', '.join(unseen) or '-'}")
    findings.end("metrics")


main(*sys.argv[1:])
