"""The PromQL of alerts and dashboard: which series an expression asks for, and which labels its answer has."""

import json
import re

import promql_parser as promql
import yaml

from project import DEPLOY

# What Prometheus adds to every series that it scrapes.
TARGET = {"job", "instance"}
KEEPS_LABELS = ("topk", "bottomk")


def alerts():
    """The rules of alerts.yaml, in their order."""
    groups = yaml.safe_load((DEPLOY / "monitoring/alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels():
    """The panels of the dashboard, those in rows too."""
    todo, found = list(json.loads((DEPLOY / "monitoring/dashboard.json").read_text())["panels"]), []
    while todo:
        panel = todo.pop(0)
        found.append(panel)
        todo.extend(panel.get("panels", []))
    return found


def written():
    """Everything that asks Prometheus: (where, expression, texts that show labels)."""
    for rule in alerts():
        texts = [*rule.get("annotations", {}).values(), *rule.get("labels", {}).values()]
        yield rule.get("alert") or rule["record"], rule["expr"], texts
    for panel in panels():
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "5m").replace("$__range", "1h")
            yield f"panel {panel['title']!r}", expression, [target.get("legendFormat", "")]


def shown_labels(texts):
    """The labels that texts show, as `{{name}}` of a legend or `$labels.name` of an annotation."""
    joined = " ".join(texts)
    return set(re.findall(r"\{\{\s*(\w+)\s*\}\}", joined)) | set(re.findall(r"\$labels\.(\w+)", joined))


def selectors(node):
    """The selectors of an expression."""
    if isinstance(node, promql.VectorSelector):
        yield node
    elif isinstance(node, promql.MatrixSelector):
        yield node.vector_selector
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from selectors(argument)
    elif isinstance(node, promql.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif not isinstance(node, (promql.NumberLiteral, promql.StringLiteral)):
        yield from selectors(node.expr)


def labels(node, known):
    """The labels of the answer, and (label, what there is) for each that is grouped by and is not there. `known` answers
    the labels of a metric."""
    if isinstance(node, promql.VectorSelector):
        return known(node.name) | TARGET, []
    if isinstance(node, promql.MatrixSelector):
        return labels(node.vector_selector, known)
    if isinstance(node, (promql.NumberLiteral, promql.StringLiteral)):
        return set(), []
    if isinstance(node, promql.Call):
        inner = [labels(argument, known) for argument in node.args]
        there, wrong = set().union(*(one for one, _ in inner)), sum((bad for _, bad in inner), [])
        return there - ({"le"} if node.func.name == "histogram_quantile" else set()), wrong
    if isinstance(node, promql.BinaryExpr):
        (left, wrong), (_, more) = labels(node.lhs, known), labels(node.rhs, known)
        return left, wrong + more
    there, wrong = labels(node.expr, known)
    if not isinstance(node, promql.AggregateExpr):
        return there, wrong
    if node.modifier is None:
        return there if str(node).startswith(KEEPS_LABELS) else set(), wrong
    named = set(node.modifier.labels)
    wrong = wrong + [(name, there) for name in sorted(named - there)]
    by = node.modifier.type == promql.AggModifierType.By
    return (named if by else there - named), wrong
