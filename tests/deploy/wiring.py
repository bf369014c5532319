"""The files that Prometheus, Grafana and the collector read: what they name is there."""

import json
import re
from urllib.parse import urlsplit

import yaml

from expressions import panels
from findings import Findings
from project import DEPLOY

MONITORING = DEPLOY / "monitoring"
SERVICES = yaml.safe_load((DEPLOY / "compose/postgres.yaml").read_text())["services"]


def collector(require):
    """Every part is used, and every part that is used is there; and it passes on to services of compose."""
    text = yaml.safe_load((MONITORING / "collector.yaml").read_text())
    pipelines = text["service"]["pipelines"]
    for kind in ("receivers", "processors", "exporters"):
        there, used = set(text[kind]), {name for one in pipelines.values() for name in one[kind]}
        require(there == used, f"collector: {kind} {sorted(there)} are there, and {sorted(used)} are used")
    require(set(text["extensions"]) == set(text["service"]["extensions"]), "collector: extensions are not those of the service")
    require(set(pipelines) >= {"traces", "metrics"}, f"collector: pipelines are {sorted(pipelines)}")
    require({"grpc", "http"} == set(text["receivers"]["otlp"]["protocols"]), "collector: OTLP comes both ways")
    for one in pipelines.values():
        require(one["processors"][0] == "memory_limiter", "collector: the limit of memory comes first")
    host = text["exporters"]["otlp/traces"]["endpoint"].split(":")[0]
    require(host in SERVICES, f"collector: traces go to {host}")
    return text["exporters"]["prometheus"]["endpoint"].rsplit(":", 1)[1]


def prometheus(require, port):
    """It scrapes the service by the job of the alerts, and the collector where it shows its metrics."""
    jobs = {job["job_name"]: job for job in yaml.safe_load((MONITORING / "prometheus.yaml").read_text())["scrape_configs"]}
    ours = {"access-tokens": "access-tokens", "access-tokens-gateway": "gateway"}
    require(set(jobs) == {*ours, "collector"}, f"prometheus: its jobs are {sorted(jobs)}")
    for job, name in ours.items():
        scraped = jobs[job]["dns_sd_configs"][0]
        ops = SERVICES[name]["environment"]["ACCESS_TOKENS__OPS__LISTEN"].rsplit(":", 1)[1]
        require(set(scraped["names"]) == {name} and scraped["port"] == int(ops), f"prometheus: scrapes {scraped}")
    target = jobs["collector"]["static_configs"][0]["targets"]
    require(target == [f"collector:{port}"], f"prometheus: the collector is {target}, and shows metrics on {port}")


def grafana(require):
    sources = yaml.safe_load((MONITORING / "grafana/datasources/datasources.yaml").read_text())["datasources"]
    for source in sources:
        url = urlsplit(source["url"])
        require(url.hostname in SERVICES, f"grafana: {source['name']} is at {url.hostname}")
    require("prometheus" in {source["type"] for source in sources}, "grafana: it does not know Prometheus")
    provider = yaml.safe_load((MONITORING / "grafana/dashboards/dashboards.yaml").read_text())["providers"][0]
    mounts = [volume.split(":")[1] for volume in SERVICES["grafana"]["volumes"]]
    require(any(mount.startswith(provider["options"]["path"] + "/") for mount in mounts), "grafana: finds no dashboard")


def dashboard(require):
    text = json.loads((MONITORING / "dashboard.json").read_text())
    every = panels()
    require(text["uid"] == "access-tokens", f"dashboard: its uid is {text['uid']}")
    require(len({panel["id"] for panel in every}) == len(every), "dashboard: two panels have one id")
    variables = {one["name"] for one in text["templating"]["list"]}
    for used in re.findall(r"\$\{?(\w+)", json.dumps(text)):
        require(used in variables or used.startswith("__"), f"dashboard: there is no variable {used}")
    for panel in every:
        require(panel["title"], f"dashboard: panel {panel['id']} has no title")
        require(panel["type"] == "row" or panel["targets"], f"dashboard: {panel['title']!r} shows nothing")
    areas = [panel["gridPos"] for panel in every]
    cells = [(x, y) for one in areas for x in range(one["x"], one["x"] + one["w"]) for y in range(one["y"], one["y"] + one["h"])]
    require(len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24, "dashboard: panels lie over each other")


def main():
    findings = Findings()
    prometheus(findings.require, collector(findings.require))
    grafana(findings.require)
    dashboard(findings.require)
    findings.end("collector, Prometheus, Grafana, dashboard")


main()
