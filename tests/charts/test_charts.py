"""The charts as an operator uses them, and what is shipped beside them: rendered with many values,
judged by the schemas of Kubernetes, and installed, upgraded, rolled back and uninstalled on the
cluster that KUBECONFIG names. What needs helm or a cluster is skipped where there is none."""

import base64
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import python_tools  # noqa: E402

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
if __name__ == "__main__":
    try:
        python_tools.run_again_inside(REQUIREMENTS)
    except unittest.SkipTest as why:
        print(f"skipped: {why}", file=sys.stderr)
        sys.exit(77)

import kubernetes_validate  # noqa: E402
import yaml  # noqa: E402

CHARTS = ROOT / "charts"
UMBRELLA = CHARTS / "gpu-telemetry"
SERVICES = ("streamer", "collector", "api-gateway", "queue-service")
PARTS = (*SERVICES, "redis", "mongodb")
VERSIONS = ("1.29", "1.30", "1.31", "1.32", "1.33")
CUSTOM = {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule"}
EVERYTHING = ["--set", "collector.keda.enabled=true,api-gateway.autoscaling.enabled=true",
              "--set", "api-gateway.ingress.enabled=true,api-gateway.ingress.host=gpus.example.com",
              "--set", "api-gateway.ingress.tlsSecret=gpus,api-gateway.apiTokens.secret=api-tokens",
              "--set", "monitoring.podMonitor.enabled=true,monitoring.rules.enabled=true",
              "--set", "monitoring.dashboards.enabled=true",
              "--set", "global.tls.enabled=true,global.queueToken.enabled=true",
              "--set", "global.image.registry=registry.example.com/team,global.image.tag=v1.2.3"]
# What an operator may want of the whole.
WAYS = {
    "as it is": [],
    "high availability": ["-f", UMBRELLA / "values-ha.yaml"],
    "Redis and MongoDB elsewhere": ["-f", UMBRELLA / "values-external.yaml"],
    "everything that can be switched on": EVERYTHING,
    "the queue on disk": ["--set", "queue-service.config.QUEUE_ENGINE=durable,redis.enabled=false"],
    "the queue in memory": ["--set", "queue-service.config.QUEUE_ENGINE=memory,redis.enabled=false"],
    "the simulator": ["--set", "streamer.config.SOURCE=simulator,streamer.config.SIMULATOR_GPUS=512"],
    "a file of one's own": ["--set-file", f"streamer.csv.content={ROOT / 'data/dcgm_metrics.csv'}"],
    "a file on a volume": ["--set", "streamer.csv.volume.persistentVolumeClaim.claimName=metrics"],
    "no network policies": ["--set", "global.networkPolicy.enabled=false"],
}


def helm(*arguments, **more):
    return subprocess.run(["helm", *map(str, arguments)], capture_output=True, text=True, **more)


def render(chart, *arguments):
    done = helm("template", "test", chart, "--namespace", "telemetry", "--kube-version", "1.33.0",
                *arguments)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def refusal(chart, *arguments):
    done = helm("template", "test", chart, "--kube-version", "1.33.0", *arguments)
    assert done.returncode != 0, "was accepted"
    return done.stderr


def pods(objects):
    for each in objects:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield each["metadata"]["name"], each["spec"]["template"]["spec"]


@functools.cache
def validate_text(text, version):
    kubernetes_validate.validate(json.loads(text), version, strict=True)


def validate(thing, version):
    """Once for each that differs in more than a checksum or a secret."""
    thing = json.loads(json.dumps(thing))
    if thing["kind"] == "Secret":
        thing["data"] = {name: "" for name in thing["data"]}
    validate_text(json.dumps(thing), version)


def one(objects, kind, name):
    found = [each for each in objects if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name, len(found))
    return found[0]


needs_helm = unittest.skipUnless(shutil.which("helm"), "there is no helm (https://helm.sh)")


class Sources(unittest.TestCase):
    """Scripts, YAML and Dockerfiles, by the linters of their kind."""

    def check(self, *command):
        done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def tracked(self, *patterns):
        done = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard",
                               *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def test_scripts(self):
        scripts = [*self.tracked("*.sh"), ".ci/run"]
        self.check(python_tools.program("shellcheck", REQUIREMENTS), "--severity=warning", *scripts)

    def test_yaml(self):
        self.check(python_tools.program("yamllint", REQUIREMENTS), "--strict", ".")

    def test_dockerfile(self):
        self.check(python_tools.program("hadolint", REQUIREMENTS), "docker/Dockerfile")

    def test_workflows(self):
        if not shutil.which("actionlint"):
            self.skipTest("there is no actionlint (https://github.com/rhysd/actionlint)")
        workflows = self.tracked(".github/workflows/*.yaml")
        self.assertNotEqual(workflows, [])
        self.check("actionlint", *workflows)


class Manifests(unittest.TestCase):
    """k8s/, which is applied without helm."""

    def test_each_version_of_kubernetes_takes_them(self):
        for path in sorted((ROOT / "k8s").glob("*.yaml")):
            for each in yaml.safe_load_all(path.read_text()):
                for version in VERSIONS:
                    with self.subTest(file=path.name, kind=each["kind"], version=version):
                        validate(each, version)

    @needs_helm
    def test_they_schemas_and_read_mes_are_what_the_charts_say(self):
        done = subprocess.run([sys.executable, ROOT / "scripts/charts.py", "--check"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)


@needs_helm
class Rendered(unittest.TestCase):
    def test_helm_finds_nothing_to_complain_of(self):
        for chart in (*PARTS, "gpu-telemetry"):
            with self.subTest(chart):
                done = helm("lint", "--strict", "--kube-version", "1.33.0", CHARTS / chart)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_each_version_of_kubernetes_takes_every_way(self):
        for way, arguments in WAYS.items():
            for each in render(UMBRELLA, *arguments):
                if each["kind"] in CUSTOM:
                    continue
                for version in VERSIONS:
                    with self.subTest(way, kind=each["kind"], version=version):
                        validate(each, version)

    def test_every_pod_is_restricted(self):
        for way, arguments in WAYS.items():
            for name, pod in pods(render(UMBRELLA, *arguments)):
                with self.subTest(way, pod=name):
                    self.assertFalse(pod["automountServiceAccountToken"])
                    security = pod["securityContext"]
                    self.assertTrue(security["runAsNonRoot"])
                    self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
                    for container in [*pod["containers"], *pod.get("initContainers", [])]:
                        security = container["securityContext"]
                        self.assertFalse(security["allowPrivilegeEscalation"])
                        self.assertTrue(security["readOnlyRootFilesystem"])
                        self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
                        self.assertEqual(set(container["resources"]), {"requests", "limits"})

    def test_a_pod_has_time_to_hand_back_what_it_holds(self):
        for name, pod in pods(render(UMBRELLA)):
            for container in pod["containers"]:
                if "lifecycle" not in container:
                    continue
                pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
                self.assertGreater(pod["terminationGracePeriodSeconds"], pause + 20, name)

    def test_names_and_numbers_are_those_that_people_know(self):
        objects = render(UMBRELLA)
        for kind, name, replicas in (("StatefulSet", "queue-service", 1), ("StatefulSet", "redis", 1),
                                     ("StatefulSet", "mongodb", 1), ("Deployment", "streamer", 2),
                                     ("Deployment", "collector", 3), ("Deployment", "api-gateway", 1)):
            workload = one(objects, kind, name)
            self.assertEqual(workload["spec"]["replicas"], replicas, name)
            self.assertEqual(workload["spec"]["template"]["metadata"]["labels"]["app"], name)
        settings = one(objects, "ConfigMap", "queue-service")["data"]
        self.assertEqual({name: settings[name] for name in ("VISIBILITY_TIMEOUT", "MAX_RETRIES",
                                                            "BUFFER_SIZE", "REDIS_ADDR")},
                         {"VISIBILITY_TIMEOUT": "5m", "MAX_RETRIES": "3", "BUFFER_SIZE": "10000",
                          "REDIS_ADDR": "redis:6379"})

    def test_a_misspelled_value_is_refused_by_name(self):
        for chart, value in ((UMBRELLA, "streamer.replica"), (UMBRELLA, "montoring"),
                             (UMBRELLA, "global.image.tags"), (CHARTS / "streamer", "replica"),
                             (CHARTS / "collector", "config.MAX_CONCURENT_HANDLERS"),
                             (CHARTS / "redis", "persistence.sise"),
                             (CHARTS / "mongodb", "auth.usr")):
            with self.subTest(value):
                self.assertIn(value.rsplit(".", 1)[-1], refusal(chart, "--set", f"{value}=3"))

    def test_a_value_of_a_wrong_form_is_refused_by_name(self):
        for value in ("queue-service.config.QUEUE_ENGINE=rabbitmq",
                      "queue-service.config.VISIBILITY_TIMEOUT=soon",
                      "streamer.replicas=many", "streamer.config.LOOP_MODE=maybe"):
            with self.subTest(value):
                name = value.split("=")[0].rsplit(".", 1)[-1]
                self.assertIn(name, refusal(UMBRELLA, "--set", value))

    def test_only_redis_is_shared_by_several_queue_services(self):
        for engine in ("durable", "memory"):
            said = refusal(UMBRELLA, "--set", f"queue-service.replicas=2,"
                                              f"queue-service.config.QUEUE_ENGINE={engine}")
            self.assertIn("only redis is shared", said)

    def test_one_source_at_a_time(self):
        self.assertIn("one of them", refusal(
            CHARTS / "streamer", "--set", "csv.content=x,csv.volume.emptyDir.medium=Memory"))

    def test_no_secret_is_in_a_config_map_or_a_variable(self):
        objects = render(UMBRELLA, *EVERYTHING)
        secrets = [base64.b64decode(value).decode()
                   for each in objects if each["kind"] == "Secret"
                   for value in each["data"].values()]
        self.assertGreaterEqual(len(secrets), 6)
        elsewhere = json.dumps([each for each in objects if each["kind"] != "Secret"])
        for secret in secrets:
            self.assertNotIn(json.dumps(secret)[1:-1], elsewhere)

    def test_policies_allow_the_arrows_of_the_picture(self):
        policies = {each["metadata"]["name"]: each["spec"]
                    for each in render(UMBRELLA) if each["kind"] == "NetworkPolicy"}
        reached = {}
        for name, policy in policies.items():
            self.assertEqual(set(policy["policyTypes"]), {"Ingress", "Egress"}, name)
            for rule in policy["egress"][1:]:
                for peer in rule["to"]:
                    reached.setdefault(name, set()).add(peer["podSelector"]["matchLabels"]["app"])
        self.assertEqual(reached, {"streamer": {"queue-service"},
                                   "collector": {"queue-service", "mongodb"},
                                   "api-gateway": {"queue-service", "mongodb"},
                                   "queue-service": {"redis"}, "mongodb": {"mongodb"}})

    def test_tls_reaches_every_connection(self):
        objects = render(UMBRELLA, "--set", "global.tls.enabled=true")
        for name in ("streamer", "collector", "api-gateway"):
            self.assertEqual(one(objects, "ConfigMap", name)["data"]["QUEUE_SERVICE_URL"],
                             "https://queue-service:8080")
        for name, pod in pods(objects):
            if name not in SERVICES:
                continue
            container = pod["containers"][0]
            self.assertEqual(container["readinessProbe"]["httpGet"]["scheme"], "HTTPS")
            self.assertIn("TLS_CERT_FILE", [each["name"] for each in container["env"]])

    def test_kube_score_finds_nothing_critical(self):
        if not shutil.which("kube-score"):
            self.skipTest("there is no kube-score (https://kube-score.com)")
        for way, arguments in WAYS.items():
            if way == "no network policies":  # which is critical, and asked for
                continue
            with self.subTest(way):
                text = yaml.safe_dump_all(render(UMBRELLA, *arguments))
                # IfNotPresent: images are named by version, and kind's are only there.
                done = subprocess.run(["kube-score", "score", "-", "--output-format", "ci",
                                       "--ignore-test", "container-image-pull-policy"],
                                      input=text, capture_output=True, text=True)
                critical = [line for line in done.stdout.splitlines() if "[CRITICAL]" in line]
                self.assertEqual(critical, [])


def cluster():
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG names no cluster"
    for tool in ("helm", "kubectl"):
        if not shutil.which(tool):
            return f"there is no {tool}"
    done = subprocess.run(["kubectl", "get", "nodes"], capture_output=True, text=True)
    return None if done.returncode == 0 else f"the cluster does not answer: {done.stderr.strip()}"


class OnACluster(unittest.TestCase):
    """In a namespace of its own, which only takes pods of the level `restricted`."""

    @classmethod
    def setUpClass(cls):
        if why := cluster():
            raise unittest.SkipTest(why)
        cls.namespace = cls.make_namespace()
        cls.empty_namespace = cls.make_namespace()

    @classmethod
    def make_namespace(cls):
        name = f"gpu-telemetry-test-{uuid.uuid4().hex[:8]}"
        cls.kubectl("create", "namespace", name)
        cls.addClassCleanup(cls.kubectl, "delete", "namespace", name, "--wait=false")
        cls.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        return name

    @classmethod
    def kubectl(cls, *arguments, **more):
        done = subprocess.run(["kubectl", *map(str, arguments)], capture_output=True, text=True,
                              **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, kind, name=None):
        names = [name] if name else []
        return json.loads(self.kubectl("-n", self.namespace, "get", kind, *names, "-o", "json"))

    def helm(self, *arguments):
        done = helm("-n", self.namespace, *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def secrets(self):
        return {each["metadata"]["name"]: each["data"] for each in self.get("secrets")["items"]
                if each["type"] != "helm.sh/release.v1"}

    def test_install_upgrade_roll_back_and_uninstall(self):
        notes = self.helm("install", "gpus", UMBRELLA, "--wait", "--timeout", "5m")
        self.assertIn("port-forward service/api-gateway", notes)
        running = {each["metadata"]["labels"]["app"]
                   for each in self.get("pods")["items"] if each["status"]["phase"] == "Running"}
        self.assertEqual(running, set(PARTS))
        made = self.secrets()
        self.assertEqual(set(made), {"redis", "mongodb"})

        self.helm("upgrade", "gpus", UMBRELLA, "-f", UMBRELLA / "values-ha.yaml",
                  "--wait", "--timeout", "5m")
        self.assertEqual(self.get("statefulset", "queue-service")["status"]["readyReplicas"], 3)
        upgraded = self.secrets()
        self.assertEqual(upgraded["redis"], made["redis"], "an upgrade changed a password")
        self.assertEqual(upgraded["mongodb"]["password"], made["mongodb"]["password"])
        self.assertIn("mongodb-2.mongodb",
                      base64.b64decode(upgraded["mongodb"]["uri"]).decode())
        certificate = upgraded["gpu-telemetry-tls"]
        self.assertEqual(set(certificate), {"ca.crt", "tls.crt", "tls.key"})

        self.helm("upgrade", "gpus", UMBRELLA, "-f", UMBRELLA / "values-ha.yaml", "--set",
                  "streamer.replicas=5", "--wait", "--timeout", "5m")
        self.assertEqual(self.secrets()["gpu-telemetry-tls"], certificate)
        self.assertEqual(self.secrets()["queue-token"], upgraded["queue-token"])
        self.assertEqual(self.get("deployment", "streamer")["status"]["readyReplicas"], 5)

        self.helm("rollback", "gpus", "1", "--wait", "--timeout", "5m")
        self.assertEqual(self.get("deployment", "streamer")["spec"]["replicas"], 2)
        self.assertEqual(self.get("statefulset", "queue-service")["spec"]["replicas"], 1)
        self.assertEqual(self.secrets()["redis"], made["redis"])

        self.helm("test", "gpus", "--timeout", "3m")

        self.helm("uninstall", "gpus", "--wait", "--timeout", "5m")
        self.assertEqual(self.get("deployments")["items"] + self.get("statefulsets")["items"], [])
        kept = {each["metadata"]["name"] for each in self.get("pvc")["items"]}
        self.assertLessEqual({"data-redis-0", "data-mongodb-0"}, kept)
        self.assertIn("redis", self.secrets())

    def test_the_cluster_takes_every_way(self):
        known = self.kubectl("get", "crds", "-o", "name")
        for way, arguments in WAYS.items():
            objects = [each
                       for each in render(UMBRELLA, *arguments, "--namespace", self.empty_namespace)
                       if each["kind"] not in CUSTOM or each["kind"].lower() in known]
            with self.subTest(way):
                self.kubectl("create", "--dry-run=server", "-f", "-",
                             input=yaml.safe_dump_all(objects))

    def test_the_cluster_takes_the_plain_manifests(self):
        for path in (ROOT / "k8s").glob("*.yaml"):
            with self.subTest(path.name):
                self.kubectl("-n", self.empty_namespace, "apply", "--dry-run=server", "-f", path)


if __name__ == "__main__":
    unittest.main(verbosity=2)
