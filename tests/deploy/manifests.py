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

    def server(self):
        """The Deployment of the service."""
        return self.named("Deployment", "access-tokens")

    def selected(self, selector):
        """The Deployments whose pods a selector of labels selects."""
        wanted = selector.get("matchLabels", selector if "matchExpressions" not in selector else {})
        among = selector.get("matchExpressions", [])
        found = []
        for one in self.of("Deployment"):
            labels = one["spec"]["template"]["metadata"]["labels"]
            if wanted.items() <= labels.items() and all(labels.get(each["key"]) in each["values"] for each in among):
                found.append(one)
        return found if selector else []

    def selectors(self):
        deployment = self.server()
        for service in self.of("Service"):
            selected = self.selected(service["spec"]["selector"])
            self.require(len(selected) == 1, f"{pods.called(service)} selects {len(selected)} Deployments")
            for port in service["spec"]["ports"]:
                there = selected and port["targetPort"] in pods.ports(selected[0])
                self.require(there, f"{pods.called(service)}: no port {port}")
        for one in self.of("PodDisruptionBudget"):
            self.require(len(self.selected(one["spec"]["selector"])) == 1, f"{pods.called(one)} selects no replica")
        for one in self.of("PodMonitor"):
            selected = self.selected(one["spec"]["selector"])
            self.require(len(selected) == len(self.of("Deployment")), "PodMonitor does not select all Deployments")
            encrypted = pods.settings(self, deployment)["ops.tls.certificate"]
            for endpoint in one["spec"]["podMetricsEndpoints"]:
                self.require(endpoint["port"] == "ops", f"PodMonitor: {endpoint['port']} has no metrics")
                scheme = endpoint.get("scheme", "http")
                self.require(scheme == ("https" if encrypted else "http"), f"PodMonitor: asks by {scheme}")
            for each in selected:
                job = each["spec"]["template"]["metadata"]["labels"].get(one["spec"]["jobLabel"])
                self.require(job == each["metadata"]["name"], f"PodMonitor: the job {job} is not that of the alerts")
        matches = lambda selector: deployment in self.selected(selector)
        for spread in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", []):
            self.require(matches(spread["labelSelector"]), "a spread constraint counts other pods")
        for account in self.of("ServiceAccount"):
            self.require(account["automountServiceAccountToken"] is False, "the service account has a token")

    def network(self):
        policies = self.of("NetworkPolicy")
        denies = [one for one in policies if one["spec"]["podSelector"] == {}
                  and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
                  and not one["spec"].get("ingress") and not one["spec"].get("egress")]
        self.require(denies, "no NetworkPolicy denies what none allows")
        deployment, gateway = self.server(), self.named("Deployment", "access-tokens-gateway")
        for one in policies:
            for rule in [] if pods.of_database(one) else one["spec"].get("ingress", []):
                self.require(rule.get("from"), "a NetworkPolicy lets everybody in")
                for port in rule["ports"]:
                    for each in self.selected(one["spec"]["podSelector"]):
                        self.require(port["port"] in pods.ports(each), f"NetworkPolicy: no port {port['port']}")
        out = {port["port"] for one in policies if not pods.of_database(one)
               for rule in one["spec"].get("egress", []) for port in rule["ports"]}
        wanted = {53} | ({5432} if self.of("Cluster") else set())
        wanted |= {pods.ports(deployment)["grpc"]} if gateway else set()
        wanted |= {int(value.rsplit(":", 1)[1]) for name, value in pods.variables(self, deployment).items()
                   if name == "OTEL_EXPORTER_OTLP_ENDPOINT"}
        self.require(out == wanted, f"the way out is open for {sorted(out)}, and needed for {sorted(wanted)}")

    def one_file(self):
        """SQLite: one process a file, ever."""
        deployment = self.server()
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
        deployment, cluster = self.server(), self.only("Cluster")["spec"]
        scaler, budget = self.only("HorizontalPodAutoscaler"), self.named("PodDisruptionBudget", "access-tokens")
        self.require("replicas" not in deployment["spec"], "the Deployment and the autoscaler both say how many there are")
        target = scaler["spec"]["scaleTargetRef"]
        self.require((target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"]), "nothing scales")
        self.require(scaler["spec"]["minReplicas"] >= 3, "fewer than three replicas")
        self.require(budget and budget["spec"].get("maxUnavailable") == 1, "a drain may take several replicas at once")
        rolling = deployment["spec"]["strategy"]["rollingUpdate"]
        self.require(rolling["maxUnavailable"] == 0, "a roll-out takes a replica before there is another one")
        at_most = scaler["spec"]["maxReplicas"] + rolling["maxSurge"]
        settings = pods.settings(self, deployment)
        needed = at_most * (int(settings["database.max_connections"]) + BESIDES) + RESERVE
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
        reads = pods.settings(self, deployment)["database.replica_urls"] != "[]"
        mounted = f"{name}-replicas" in pods.secrets(deployment)
        self.require(reads == mounted, "reads from standbys need the Secret with their URL, and only they do")


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
