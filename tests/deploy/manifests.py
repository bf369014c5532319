"""What Kubernetes is told: valid by its schemas, as strict as it can be, and in agreement with itself and the program.

    python manifests.py BINARY RENDERED.yaml
"""

import sys
from functools import partial
from pathlib import Path

import kubernetes_validate
import yaml

import pods
from findings import Findings

# The oldest that knows everything that is used (the `sleep` before the end of a container), and the newest that is known.
KUBERNETES = ("1.30", kubernetes_validate.latest_version())
# Resources of operators, whose schemas no package brings. What refers to them is compared below; their own fields are not.
WITHOUT_SCHEMA = {"Cluster", "PodMonitor", "PrometheusRule"}
# Of each process besides its pool, and a superuser's reserve with room for `migrate` and a person.
BESIDES, RESERVE = 2, 10


class Manifests:
    def __init__(self, binary, path):
        self.binary = binary
        self.all = [one for one in yaml.safe_load_all(Path(path).read_text()) if one]
        self.findings = Findings()
        self.require = self.findings.require

    def of(self, *kinds):
        return [one for one in self.all if one["kind"] in kinds]

    def named(self, kind, name):
        return next((one for one in self.of(kind) if one["metadata"]["name"] == name), None)

    def only(self, kind):
        """The one of this kind, or none."""
        found = self.of(kind)
        self.require(len(found) <= 1, f"there are {len(found)} {kind}")
        return found[0] if found else None

    def schemas(self):
        for one in self.all:
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(one, version, strict=True)
                except kubernetes_validate.SchemaNotFoundError:
                    self.require(one["kind"] in WITHOUT_SCHEMA, f"{one['kind']}: no schema in Kubernetes {version}")
                except kubernetes_validate.ValidationError as error:
                    where = "/".join(map(str, error.path))
                    self.require(False, f"{pods.called(one)} in Kubernetes {version}: {where}: {error.message}")

    def namespace(self):
        namespace = self.only("Namespace")
        if not self.require(namespace, "there is no Namespace"):
            return
        labels = namespace["metadata"].get("labels", {})
        for mode in ("enforce", "audit", "warn"):
            level = labels.get(f"pod-security.kubernetes.io/{mode}")
            self.require(level == "restricted", f"Namespace: pod security {mode} is {level}")
        for one in self.all:
            where = one["metadata"].get("namespace")
            self.require(one is namespace or where == namespace["metadata"]["name"], f"{pods.called(one)} is in {where}")

    def selectors(self):
        deployment = self.only("Deployment")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        matches = lambda selector: bool(selector) and selector.items() <= labels.items()
        for service in self.of("Service"):
            self.require(matches(service["spec"]["selector"]), f"{pods.called(service)} selects no replica")
            for port in service["spec"]["ports"]:
                self.require(port["targetPort"] in pods.ports(deployment), f"{pods.called(service)}: no port {port}")
        for one in self.of("PodDisruptionBudget", "PodMonitor"):
            self.require(matches(one["spec"]["selector"]["matchLabels"]), f"{pods.called(one)} selects no replica")
        for endpoint in (end for one in self.of("PodMonitor") for end in one["spec"]["podMetricsEndpoints"]):
            self.require(endpoint["port"] == "ops", f"PodMonitor: {endpoint['port']} has no metrics")
        for one in self.of("PodMonitor"):
            self.require(labels.get(one["spec"]["jobLabel"]) == "access-tokens", "PodMonitor: its job is another one")
        for spread in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            self.require(matches(spread["labelSelector"]["matchLabels"]), "a spread constraint counts other pods")
        for account in self.of("ServiceAccount"):
            self.require(account["automountServiceAccountToken"] is False, "the service account has a token")

    def network(self):
        policies = self.of("NetworkPolicy")
        denies = [one for one in policies if one["spec"]["podSelector"] == {}
                  and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
                  and not one["spec"].get("ingress") and not one["spec"].get("egress")]
        self.require(denies, "no NetworkPolicy denies what none allows")
        deployment = self.only("Deployment")
        rules = [rule for one in policies if not pods.of_database(one) for rule in one["spec"].get("ingress", [])]
        for rule in rules:
            self.require(rule.get("from"), "a NetworkPolicy lets everybody in")
            for port in rule["ports"]:
                self.require(port["port"] in pods.ports(deployment), f"NetworkPolicy: no port {port['port']}")
        out = {port["port"] for one in policies if not pods.of_database(one)
               for rule in one["spec"].get("egress", []) for port in rule["ports"]}
        wanted = {53} | ({5432} if self.of("Cluster") else set())
        wanted |= {int(value.rsplit(":", 1)[1]) for name, value in pods.variables(self, deployment).items()
                   if name == "OTEL_EXPORTER_OTLP_ENDPOINT"}
        self.require(out == wanted, f"the way out is open for {sorted(out)}, and needed for {sorted(wanted)}")

    def one_file(self):
        """SQLite: one process a file, ever."""
        deployment = self.only("Deployment")
        spec = deployment["spec"]
        self.require(spec.get("replicas") == 1 and spec["strategy"]["type"] == "Recreate", "two would serve one file")
        volume = self.only("PersistentVolumeClaim")
        self.require(volume and volume["spec"]["accessModes"] == ["ReadWriteOncePod"], "two pods could have the volume")
        volumes = {one["name"] for one in pods.pod(deployment)["volumes"] if "persistentVolumeClaim" in one}
        paths = [one["mountPath"] for one in pods.container(deployment)["volumeMounts"] if one["name"] in volumes]
        url = pods.settings(self, deployment)["database.url"]
        self.require(any(url.startswith(f"sqlite://{path}/") for path in paths), f"nothing keeps {url}")

    def fleet(self):
        """PostgreSQL: enough replicas, never too many for the database, which loses nothing."""
        deployment, cluster = self.only("Deployment"), self.only("Cluster")["spec"]
        scaler, budget = self.only("HorizontalPodAutoscaler"), self.only("PodDisruptionBudget")
        self.require("replicas" not in deployment["spec"], "the Deployment and the autoscaler both say how many there are")
        target = scaler["spec"]["scaleTargetRef"]
        self.require((target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"]), "nothing scales")
        self.require(scaler["spec"]["minReplicas"] >= 3, "fewer than three replicas")
        self.require(budget and budget["spec"].get("maxUnavailable") == 1, "a drain may take several replicas at once")
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        self.require(rolling["maxUnavailable"] == 0, "a roll-out takes a replica before there is another one")
        at_most = scaler["spec"]["maxReplicas"] + rolling["maxSurge"]
        settings = pods.settings(self, deployment)
        needed = at_most * (int(settings["database.connections"]) + BESIDES) + RESERVE
        there = int(cluster["postgresql"]["parameters"]["max_connections"])
        self.require(needed <= there, f"{at_most} replicas want {needed} connections of {there}")
        synchronous = cluster["postgresql"].get("synchronous", {})
        self.require(synchronous.get("dataDurability") == "required", "commits need not be on two nodes")
        self.require(1 <= synchronous.get("number", 0) < cluster["instances"] - 1, "one lost standby would stop commits")
        migrates = [one for one in self.of("Job") if pods.container(one).get("args") == ["migrate"]]
        self.require(len(migrates) == 1 and settings["database.migrate_at_start"] == "false", "who migrates?")
        name = self.only("Cluster")["metadata"]["name"]
        for one in [deployment, *migrates]:
            secrets = set(pods.secrets(one))
            self.require({f"{name}-app", f"{name}-ca"} <= secrets, f"{pods.called(one)}: other secrets than those of {name}")


def main(binary, path):
    manifests = Manifests(binary, path)
    steps = [manifests.schemas, manifests.namespace, manifests.selectors, manifests.network]
    steps.append(manifests.fleet if manifests.of("Cluster") else manifests.one_file)
    for one in manifests.of("Deployment", "Job", "StatefulSet", "DaemonSet", "CronJob", "Pod"):
        steps.append(partial(pods.check, manifests, one))
    for step in steps:
        try:
            step()
        except (KeyError, TypeError, ValueError) as error:
            # What is missing altogether, or is not what it should be: the rest of the step makes no sense then.
            manifests.require(False, f"{getattr(step, '__name__', 'pod')}: {error!r}")
    without = sorted({one["kind"] for one in manifests.all} & WITHOUT_SCHEMA)
    manifests.findings.end(f"{Path(path).stem} ({len(manifests.all)} resources; without a schema: {', '.join(without) or '-'})")


main(*sys.argv[1:])
