"""What Docker Compose is told, beyond its schema: as strict as in Kubernetes, open to this machine alone, and with settings that
the program takes.

    python compose.py BINARY COMPOSE.yaml
"""

import re
import sys
from pathlib import Path

import yaml

import project
from findings import Findings


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def size(ports):
    """How many ports `50051-50053` are."""
    first, _, last = ports.partition("-")
    return int(last or first) - int(first) + 1


def ours(binary, name, service, require):
    """A container of the program."""
    require(service["image"] == f"access-tokens:{project.VERSION}", f"{name}: its image is {service['image']}")
    require(service.get("read_only") is True, f"{name}: may write to its root")
    require(service.get("cap_drop") == ["ALL"], f"{name}: has capabilities")
    require("no-new-privileges:true" in service.get("security_opt", []), f"{name}: may gain privileges")
    grace = seconds(service.get("stop_grace_period", "10s"))
    require(grace > project.seconds_to_stop(), f"{name}: is killed after {grace} s")
    given = service.get("environment", {})
    for variable, value in given.items():
        require(not project.secret_in_the_open(variable, value), f"{name}: {variable} is a secret in a variable")
        if variable.endswith("_FILE") and value.startswith("/run/secrets/"):
            require(value.rsplit("/", 1)[1] in service.get("secrets", []), f"{name}: nothing is at {value}")
    try:
        known = project.settings(binary, given)
    except ValueError as error:
        require(False, f"{name}: the program refuses its settings: {error}")
        return
    command = service.get("command", ["serve"])
    if command[0] in ("serve", "gateway"):
        require("deploy" in service and "memory" in service["deploy"]["resources"]["limits"], f"{name}: has no bounds")
        replicas = service["deploy"].get("replicas", 1)
        listeners = ("grpc", "http", "ops") if command[0] == "serve" else ("http", "ops")
        inside = {int(known[f"{one}.listen"].rsplit(":", 1)[1]) for one in listeners}
        for port in service.get("ports", []):
            *_, outer, inner = port.split(":")
            require(int(inner) in inside, f"{name}: nobody listens on {inner}")
            require(size(outer) == replicas, f"{name}: {replicas} replicas share {outer}")
        for one in listeners:
            require(known[f"{one}.allow_plain_text"] == "true", f"{name}: {one} does not start")
        if command[0] == "gateway":
            probe = ["CMD", "access-tokens", "healthcheck", "--gateway"]
            require(service.get("healthcheck", {}).get("test") == probe, f"{name}: its health is asked of gRPC")
            require(known["gateway.upstream.allow_plain_text"] == "true", f"{name}: the way to the service is refused")
        # In a container it listens on all addresses.
        require("--demo" not in command or "--demo-public" in command, f"{name}: the demo does not start")
        if "OTEL_EXPORTER_OTLP_ENDPOINT" in given:
            require(known["telemetry.collector.allow_plain_text"] == "true", f"{name}: its collector is refused")


def main(binary, path):
    path = Path(path)
    text = yaml.safe_load(path.read_text())
    services, findings = text["services"], Findings()
    require = findings.require
    for name, service in services.items():
        if "extends" in service:
            origin = yaml.safe_load((path.parent / service["extends"]["file"]).read_text())["services"]
            services[name] = origin[service["extends"]["service"]] | service
    for name, service in services.items():
        require(re.search(r":v?\d+\.\d+", service["image"]), f"{name}: its image has no version")
        for port in service.get("ports", []):
            require(re.fullmatch(r"127\.0\.0\.1:[\d-]+:\d+", port), f"{name}: {port} is open to other machines")
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                require((path.parent / source).resolve().exists(), f"{name}: there is no {source}")
                require(mode == ["ro"], f"{name}: {source} may be written")
            else:
                require(source in text.get("volumes", {}), f"{name}: there is no volume {source}")
        for secret in service.get("secrets", []):
            require(secret in text.get("secrets", {}), f"{name}: there is no secret {secret}")
        for other in service.get("depends_on", {}):
            require(other in services, f"{name}: waits for {other}, which is not there")
        if service["image"].startswith("access-tokens:"):
            ours(binary, name, service, require)
        if "build" in service:
            file = path.parent / service["build"]["context"] / service["build"]["dockerfile"]
            require(file.exists(), f"{name}: there is no {file}")
        endpoint = service.get("environment", {}).get("OTEL_EXPORTER_OTLP_ENDPOINT")
        if endpoint:
            require(re.fullmatch(r"http://(\S+):4317", endpoint)[1] in services, f"{name}: {endpoint} is nobody")
    findings.end(f"compose {path.stem} ({len(services)} services)")


main(*sys.argv[1:])
