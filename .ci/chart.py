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


for path in sorted(CHART.glob("ci/*.yaml")):
    values = yaml.safe_load(path.read_text())
    report = lint(CHART, values, strict=True, kube_version=f"v{KUBERNETES}.0")
    for message in report["messages"]:
        check(message["severity"] < 2, f"{path.name}: {message}")
    check(not report["errors"], f"{path.name}: {report['errors']}")
    rendered = documents(Chart.load(CHART).render(values, name="x", namespace="starbridge"))
    kinds = [document["kind"] for document in rendered]
    check(kinds.count("StatefulSet") == 3, f"{path.name}: kinds {kinds}")
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
    ({"kafka": {"brokers": "k:9092"}, "connections": {"a": {"url": "ftp://x"}}}, "url"),
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
