#!/usr/bin/env python3
"""The chart: lints strictly, refuses unknown values, renders valid manifests, and its settings files are the services' own.

Run by `make chart` with the Python of the cache's environment (helm-python-sdk, kubernetes-validate).
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import tomllib

import kubernetes_validate
import yaml
from helm_python.chart import Chart, lint
from helm_python.errors import HelmError

ROOT = pathlib.Path(__file__).resolve().parent.parent
CHART = ROOT / "helm/starbridge"
KUBERNETES = "1.30"
faults: list[str] = []
checks = 0


def check(good: bool, text: str) -> None:
    global checks
    checks += 1
    if not good:
        faults.append(text)


def documents(manifests: dict[str, str]) -> list[dict]:
    return [
        document
        for name, text in manifests.items() if not name.endswith("NOTES.txt")
        for document in yaml.safe_load_all(text) if document
    ]


def alerts(name: str, text: str) -> None:
    """The rule file: groups of alerts, each with an expression whose brackets close, a severity and words."""
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    check(len({rule["alert"] for rule in rules}) == len(rules) >= 10, f"{name}: {len(rules)} alerts")
    for rule in rules:
        expression = rule["expr"]
        check("{{" not in expression and "<no value>" not in expression, f"{name}: {rule['alert']}: {expression}")
        check(all(expression.count(a) == expression.count(b) for a, b in ("()", "{}", "[]")), f"{name}: {expression}")
        check(rule["labels"]["severity"] in ("warning", "critical"), f"{name}: {rule['alert']} has no severity")
        check(set(rule["annotations"]) == {"summary", "command"}, f"{name}: {rule['alert']} says too little")
        check(set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, f"{name}: {rule['alert']}: {set(rule)}")


def control(name: str, rendered: list[dict], replicas: int) -> None:
    """The control plane: its port, its secrets where its settings look for them, its name in the cluster, its budget."""
    def one(kind: str, ending: str) -> dict:
        found = [document for document in rendered if document["kind"] == kind and document["metadata"]["name"].endswith(ending)]
        check(len(found) == 1, f"{name}: {len(found)} of {kind} {ending}")
        return found[0]

    workload = one("StatefulSet", "-control")
    service = one("Service", "-control-grpc")
    if replicas > 1:
        one("PodDisruptionBudget", "-control")
    check(workload["spec"]["replicas"] == replicas, f"{name}: control has {workload['spec']['replicas']} replicas")
    pod = workload["spec"]["template"]["spec"]
    container = pod["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = tomllib.loads(one("ConfigMap", "-settings")["data"]["control.toml"])
    check(settings["grpc"]["listen"] == f"0.0.0.0:{ports['grpc']}", f"{name}: control listens elsewhere")
    check(service["spec"]["ports"][0]["targetPort"] == "grpc", f"{name}: the service leads elsewhere")
    labels = workload["spec"]["template"]["metadata"]["labels"]
    check(service["spec"]["selector"].items() <= labels.items(), f"{name}: the service selects no pod of control")
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    address = f"$(CONTROL__WORKER__MEMBER).{workload['spec']['serviceName']}.starbridge.svc:{ports['grpc']}"
    check(environment["CONTROL__GRPC__ADVERTISE"] == address, f"{name}: advertises {environment['CONTROL__GRPC__ADVERTISE']}")
    secrets = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    files = [settings["grpc"]["certificate_file"], settings["grpc"]["key_file"], settings["grpc"].get("client_ca_file")]
    files += [settings["access"]["signing_key_file"], settings["access"].get("bootstrap_file")]
    files += settings["access"]["trusted_key_files"]
    files += [connection["app_secret_file"] for connection in settings.get("connections", {}).values()]
    files += [f'{connection["master_keys"]}/1' for connection in settings.get("connections", {}).values() if "master_keys" in connection]
    for file in filter(None, files):
        check(mounts.get(file.rpartition("/")[0]) in secrets, f"{name}: {file} lies in no secret that is mounted")


for path in sorted(CHART.glob("ci/*.yaml")):
    values = yaml.safe_load(path.read_text())
    report = lint(CHART, values, strict=True, kube_version=f"v{KUBERNETES}.0")
    for message in report["messages"]:
        check(message["severity"] < 2, f"{path.name}: {message}")
    check(not report["errors"], f"{path.name}: {report['errors']}")
    rendered = documents(Chart.load(CHART).render(values, name="x", namespace="starbridge"))
    kinds = [document["kind"] for document in rendered]
    replicas = (values.get("control") or {}).get("replicas", 2)
    check(kinds.count("StatefulSet") == (4 if replicas else 3), f"{path.name}: kinds {kinds}")
    if replicas:
        control(path.name, rendered, replicas)
    wanted = (values.get("alerts") or {}).get("enabled", False)
    rules = [document["data"]["alerts.yaml"] for document in rendered if document["metadata"]["name"].endswith("-alerts")]
    check(len(rules) == int(wanted), f"{path.name}: {len(rules)} rule files")
    for text in rules:
        alerts(path.name, text)
    for document in rendered:
        name = f"{path.name}: {document['kind']} {document['metadata']['name']}"
        try:
            kubernetes_validate.validate(document, KUBERNETES, strict=True)
            check(True, name)
        except kubernetes_validate.ValidationError as error:
            check(False, f"{name}: {error.message}")
        if document["kind"] == "StatefulSet":
            pod = document["spec"]["template"]["spec"]
            container = pod["containers"][0]
            context = container["securityContext"]
            check(pod["securityContext"]["runAsNonRoot"] is True, f"{name}: runs as root")
            check(context["readOnlyRootFilesystem"] is True, f"{name}: writable root")
            check(context["capabilities"]["drop"] == ["ALL"], f"{name}: capabilities")
            check(pod["automountServiceAccountToken"] is False, f"{name}: token mounted")
            # Secrets belong to root: the pod reads them as their group, and nobody else may, or the services refuse them.
            check(pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"], f"{name}: fsGroup")
            for volume in pod["volumes"]:
                if "secret" in volume:
                    mode = volume["secret"].get("defaultMode", 0o644)
                    check(mode & 0o047 == 0o040, f"{name}: secret {volume['name']} has mode {mode:o}")
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                check(probe in container, f"{name}: no {probe}")
        if document["kind"] == "ConfigMap" and document["metadata"]["name"].endswith("-settings"):
            # The services themselves say whether they can live with what the chart writes.
            for file, text in document["data"].items():
                with tempfile.TemporaryDirectory() as folder:
                    settings = pathlib.Path(folder, file)
                    settings.write_text(text)
                    binary = ROOT / "target/debug" / f"starbridge-{settings.stem}"
                    # Where the chart mounts flows there is nothing here: the ready flow stands in for them.
                    flows = ROOT / "deploy/flows/misc-inbound" if values.get("flows") else folder
                    run = subprocess.run(
                        [binary, "--config", settings, "--check-config"], capture_output=True, text=True, check=False,
                        env=os.environ | {"EXTRACTOR__FLOWS__FOLDERS": json.dumps([str(flows)])},
                    )
                    check(run.returncode == 0, f"{path.name}: {file} is refused: {run.stderr.strip()}")

bad = [
    ({"kafka": {"brokers": "k:9092"}, "lodaer": {}}, "lodaer"),
    ({"kafka": {"brokers": ""}}, "brokers"),
    ({"kafka": {"brokers": "k:9092"}, "loader": {"replicas": -1}}, "replicas"),
    ({"kafka": {"brokers": "k:9092"}}, "control.tlsSecret"),
    ({"kafka": {"brokers": "k:9092"}, "control": {"tlsSecret": "t"}}, "control.signingKeySecret"),
    ({"kafka": {"brokers": "k:9092"}, "control": {"tlsSecret": "t", "tls": {}}}, "tls"),
    ({"kafka": {"brokers": "k:9092"}, "connections": {"a": {"url": "ftp://x"}}}, "url"),
    ({"kafka": {"brokers": "k:9092", "clientCertificate": True}}, "security"),
    ({"kafka": {"brokers": "k:9092"}, "redis": {"url": "redis://r", "secret": "s", "privateCa": True}}, "url"),
]
for values, word in bad:
    try:
        Chart.load(CHART).render(values, name="x", namespace="starbridge")
        check(False, f"{json.dumps(values)} was accepted")
    except HelmError as error:
        check(word in str(error), f"{json.dumps(values)}: the refusal does not name {word}: {error}")

for fault in faults:
    print(fault)
print(f"chart: {checks} checks, {len(faults)} failed")
sys.exit(1 if faults or checks < 50 else 0)
