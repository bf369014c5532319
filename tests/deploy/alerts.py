"""Alerts lead somewhere, and fire: each has a section in the runbook and a case in alerts_test.yaml, and the operator of
Prometheus gets the same rules as compose.

    python alerts.py [--write]    writes prometheus-rule.yaml anew
"""

import re
import sys
from pathlib import Path

import yaml

from expressions import alerts
from findings import Findings
from project import DEPLOY, REPOSITORY, RUNBOOK

RULES, RESOURCE = DEPLOY / "monitoring/alerts.yaml", DEPLOY / "monitoring/prometheus-rule.yaml"
HEAD = """\
# alerts.yaml in the form of the Prometheus operator. Written by tests/deploy/alerts.py --write.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: access-tokens
spec:
"""


def resource():
    groups = RULES.read_text().partition("groups:\n")
    return HEAD + re.sub(r"^(?=.)", "  ", groups[1] + groups[2], flags=re.M)


def main():
    if "--write" in sys.argv:
        RESOURCE.write_text(resource())
    findings = Findings()
    findings.require(RESOURCE.read_text() == resource(), f"{RESOURCE.name} is not alerts.yaml: run alerts.py --write")
    tests = yaml.safe_load(Path(__file__).with_name("alerts_test.yaml").read_text())["tests"]
    cases = [case["exp_samples"] for test in tests for case in test["promql_expr_test"] if "ALERTS" in case["expr"]]
    firing = {name for case in cases for one in case for name in re.findall(r'alertname="(\w+)"', one["labels"])}
    runbook = RUNBOOK.read_text() if RUNBOOK.exists() else ""
    sections = set(re.findall(r"^### (\w+)$", runbook, re.M))
    names = [rule["alert"] for rule in alerts() if "alert" in rule]
    for rule in (rule for rule in alerts() if "alert" in rule):
        name, notes = rule["alert"], rule.get("annotations", {})
        link = f"{REPOSITORY}/blob/main/docs/operations.md#{name.lower()}"
        findings.require(notes.get("runbook_url") == link, f"{name}: its runbook_url is not {link}")
        findings.require(name in sections, f"{name}: docs/operations.md has no section ### {name}")
        findings.require({"summary", "description"} <= set(notes), f"{name}: wants a summary and a description")
        severity = rule.get("labels", {}).get("severity")
        findings.require(severity in ("critical", "warning", "info"), f"{name}: its severity is {severity}")
        findings.require(name in firing, f"{name}: alerts_test.yaml has no case where it fires")
    findings.require([] in cases, "alerts_test.yaml has no case where none fires")
    findings.require(len(names) == len(set(names)), "two alerts have one name")
    findings.end("alerts")


main()
