"""What a pod of ours may be: restricted, with bounds, and with settings that the program takes."""

import math
import re

import project

# MiB: what it has idle, with a hash, with answers that clients do not take, with 10,000 connections (docs/reliability.md).
IDLE, HASH, ANSWERS, CONNECTIONS = 26, 19, 137, 59
USER = 65532


def called(one):
    return f"{one['kind']} {one['metadata']['name']}"


def pod(one):
    return one["spec"]["template"]["spec"]


def container(one):
    return pod(one)["containers"][0]


def ports(one):
    return {port["name"]: port["containerPort"] for port in container(one).get("ports", [])}


def secrets(one):
    return [volume["secret"]["secretName"] for volume in pod(one).get("volumes", []) if "secret" in volume]


def of_database(policy):
    return "cnpg.io/cluster" in policy["spec"]["podSelector"].get("matchLabels", {})


def variables(manifests, one):
    """The variables of the container, those from ConfigMaps too."""
    found = {}
    for source in container(one).get("envFrom", []):
        name = source.get("configMapRef", {}).get("name")
        settings = manifests.named("ConfigMap", name)
        if manifests.require(settings, f"{called(one)}: no ConfigMap {name}"):
            found |= settings["data"]
    for variable in container(one).get("env", []):
        there = manifests.require("value" in variable, f"{called(one)}: {variable['name']} comes from elsewhere: mount a file")
        found |= {variable["name"]: variable["value"]} if there else {}
    return found


def settings(manifests, one):
    return project.settings(manifests.binary, variables(manifests, one))


def quantity(text):
    """CPUs, or bytes."""
    number, unit = re.fullmatch(r"([\d.]+)(m|Ki|Mi|Gi|M|G)?", str(text)).groups()
    return float(number) * {None: 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "M": 10**6, "G": 10**9}[unit]


def check(manifests, one):
    where, require = called(one), manifests.require
    spec = pod(one)
    restricted(where, spec, require)
    require(len(spec["containers"]) == 1 and not spec.get("initContainers"), f"{where}: other containers than ours")
    require(container(one)["image"] == f"access-tokens:{project.VERSION}", f"{where}: its image is {container(one)['image']}")
    require(spec.get("enableServiceLinks") is False, f"{where}: has variables of Services")
    given = variables(manifests, one)
    for name, value in given.items():
        require(not project.secret_in_the_open(name, value), f"{where}: {name} is a secret in a variable")
    volumes_and_mounts(where, spec, given, require)
    known = settings(manifests, one)
    if container(one)["args"] == ["serve"]:
        server(manifests, one, known)
    elif container(one)["args"][0] == "gateway":
        gateway(manifests, one, known)


def restricted(where, spec, require):
    """Pod Security `restricted`, and no token."""
    own = spec.get("securityContext", {})
    require(own.get("runAsNonRoot") is True and own.get("runAsUser") == USER, f"{where}: runs as {own.get('runAsUser')}")
    require(own.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{where}: has no seccomp profile")
    require(spec.get("automountServiceAccountToken") is False, f"{where}: has a token of Kubernetes")
    for forbidden in ("hostNetwork", "hostPID", "hostIPC"):
        require(not spec.get(forbidden), f"{where}: {forbidden}")
    for volume in spec.get("volumes", []):
        kinds = set(volume) - {"name"}
        require(kinds <= {"secret", "persistentVolumeClaim", "configMap", "emptyDir"}, f"{where}: a volume is {kinds}")
    for one in spec["containers"]:
        inner = one.get("securityContext", {})
        require(inner.get("allowPrivilegeEscalation") is False, f"{where}: may gain privileges")
        require(inner.get("readOnlyRootFilesystem") is True, f"{where}: may write to its root")
        require(inner.get("capabilities") == {"drop": ["ALL"]}, f"{where}: has capabilities")
        require(not inner.get("privileged"), f"{where}: is privileged")
        limits, requests = one["resources"]["limits"], one["resources"]["requests"]
        require({"cpu", "memory"} <= set(limits) & set(requests), f"{where}: has no bounds")


def volumes_and_mounts(where, spec, given, require):
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    mounts = {mount["name"]: mount for mount in spec["containers"][0].get("volumeMounts", [])}
    require(set(volumes) == set(mounts), f"{where}: volumes {sorted(volumes)}, mounts {sorted(mounts)}")
    for name, volume in volumes.items():
        if "secret" in volume:
            mode = volume["secret"].get("defaultMode", 0o644)
            # A certificate of an authority is no secret.
            public = {item["key"] for item in volume["secret"].get("items", [])} == {"ca.crt"}
            require(mode & 0o337 == 0 or (public and mode & 0o333 == 0), f"{where}: secret {name} has mode {mode:o}")
            require(mounts.get(name, {}).get("readOnly") is True, f"{where}: secret {name} may be written")
            # Kubernetes cannot follow a file that is mounted alone: it would never change.
            require("subPath" not in mounts.get(name, {}), f"{where}: secret {name} has a subPath")
    for name, value in given.items():
        if value.startswith("/"):
            inside = any(value.startswith(mount["mountPath"] + "/") for mount in mounts.values())
            require(inside, f"{where}: {name} names {value}, where nothing is mounted")


def listeners(manifests, one, known, names):
    """Ports, encryption, probes over HTTP and the end of a process, as the program has them."""
    where, require = called(one), manifests.require
    spec, own = pod(one), container(one)
    for name in names:
        port = int(known[f"{name}.listen"].rsplit(":", 1)[1])
        require(ports(one).get(name) == port, f"{where}: {name} listens on {port}")
        require(known[f"{name}.listen"].startswith("0.0.0.0:"), f"{where}: {name} is closed to others")
        encrypted = known[f"{name}.tls.certificate"]
        require(encrypted or known[f"{name}.allow_plain_text"] == "true", f"{where}: {name} does not start")
        # Only the component that says so may speak plain text.
        require(bool(encrypted) != (known[f"{name}.allow_plain_text"] == "true"), f"{where}: {name} does both")
    endpoint = variables(manifests, one).get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    plain_export = known["telemetry.collector.allow_plain_text"] == "true"
    require(plain_export or not endpoint.startswith("http:"), f"{where}: {endpoint} is refused")
    sleep = own["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = sleep + project.seconds_to_stop()
    grace = spec.get("terminationGracePeriodSeconds", 30)
    require(sleep >= 3 and needed < grace, f"{where}: has {grace} s to end, and needs {needed} s")


def asks_ops(manifests, one, known):
    """Probes ask the port for operators. A database that is away must not end replicas, so only readiness may depend on it."""
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container(one).get(probe, {})
        path = "/readyz" if probe == "readinessProbe" else "/livez"
        page = {"path": path, "port": "ops", "scheme": "HTTPS" if known["ops.tls.certificate"] else "HTTP"}
        manifests.require(asked.get("httpGet") == page and "grpc" not in asked, f"{called(one)}: {probe} asks {asked}")


def gateway(manifests, one, known):
    """The gateway as a process of its own: no keys, no database, and a way to the service that the program takes."""
    where, require = called(one), manifests.require
    listeners(manifests, one, known, ("http", "ops"))
    asks_ops(manifests, one, known)
    upstream = container(one)["args"][2]
    encrypted = bool(known["grpc.tls.certificate"])
    require(upstream.startswith("https:") == encrypted, f"{where}: calls {upstream}, and the service does not")
    require(encrypted or known["gateway.upstream.allow_plain_text"] == "true", f"{where}: {upstream} is refused")
    host, port = upstream.split("//")[1].rsplit(":", 1)
    service = manifests.named("Service", host.split(".")[0])
    there = service and int(port) in {each["port"] for each in service["spec"]["ports"]}
    require(there, f"{where}: nothing is at {upstream}")
    require(set(secrets(one)) <= {"access-tokens-tls"}, f"{where}: has secrets {secrets(one)}")
    require(int(one["spec"]["replicas"]) >= 2, f"{where}: has one replica")


def server(manifests, one, known):
    """Ports, probes, the end, and bounds, as the program has them."""
    where, require = called(one), manifests.require
    own = container(one)
    listeners(manifests, one, known, ("grpc", "http", "ops"))
    if known["grpc.tls.certificate"]:
        asks_ops(manifests, one, known)
    else:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            grpc = own.get(probe, {}).get("grpc", {})
            require(grpc.get("port") == ports(one)["grpc"], f"{where}: {probe} does not ask gRPC")
            expected = "" if probe == "readinessProbe" else "alive"
            require(grpc.get("service", "") == expected, f"{where}: {probe} asks {grpc.get('service')!r}")
    cores = max(1, math.floor(quantity(own["resources"]["limits"]["cpu"])))
    needed = IDLE + HASH * max(1, cores - 1) + ANSWERS + CONNECTIONS
    memory = quantity(own["resources"]["limits"]["memory"]) / 2**20
    require(needed <= memory, f"{where}: needs {needed} MiB with {cores} cores, and gets {memory:.0f}")
