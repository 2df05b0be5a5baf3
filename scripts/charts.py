#!/usr/bin/env python3
"""Makes what stands beside each chart from the chart itself, and k8s/ from the charts:

    scripts/charts.py          writes values.schema.json and README.md of each chart, and k8s/
    scripts/charts.py --check  says what is out of date, with exit status 1

A chart's values.yaml is the source: its keys and types become the schema, the comments `# -- ...`
above them the descriptions. The keys of `config` are the settings of the service, as
docs/configuration.md lists them. Needs helm for k8s/ and Python's yaml."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHARTS = ROOT / "charts"
SERVICES = {"streamer": "streamer", "collector": "collector", "api-gateway": "api-gateway",
            "queue-service": "queue-service"}
STATES = ("redis", "mongodb")
UMBRELLA = "gpu-telemetry"
# Maps that hold whatever Kubernetes takes there.
FREE = {"resources", "nodeSelector", "affinity", "podLabels", "podAnnotations", "annotations",
        "labels", "volume"}
ENUMS = {"pullPolicy": ["", "Always", "IfNotPresent", "Never"],
         "type": ["ClusterIP", "NodePort", "LoadBalancer"]}
# What a chart decides itself, from other values.
OWNED = re.compile(r"(_HOST|_FILE|METRICS_PORT|API_PORT|QUEUE_PORT|QUEUE_DATA_DIR|REDIS_TLS)$")


def settings(command):
    """Name -> (default, accepted, description) of a command's variables."""
    text = (ROOT / "docs/configuration.md").read_text()
    section = text.split(f"## gpu-telemetry {command}\n", 1)[1].split("\n## ", 1)[0]
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) != 5 or not cells[0].startswith("`--"):
            continue
        for name in re.findall(r"`([A-Z0-9_]+)`", cells[1]):
            if not OWNED.search(name):
                found[name] = (cells[2].strip("`"), cells[3].replace("\\|", "|"),
                               cells[4].replace("\\|", "|"))
    return found


def descriptions(path):
    """Dotted key -> the comment `# -- ...` above it, in a values.yaml."""
    found, comment, stack = {}, [], []
    for line in path.read_text().splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped[5:]]
        elif stripped.startswith("#") and comment:
            comment.append(stripped[1:].strip())
        elif match := re.match(r"( *)([A-Za-z_][\w-]*):", line):
            depth = len(match[1])
            stack = [entry for entry in stack if entry[0] < depth] + [(depth, match[2])]
            if comment:
                found[".".join(name for _, name in stack)] = " ".join(comment)
            comment = []
        else:
            comment = []
    return found


def check_of(accepted):
    """The schema of a setting's text, as far as the accepted form is a plain list of words."""
    if re.fullmatch(r"[a-z]+(\|[a-z]+)+", accepted):
        return {"enum": ["", *accepted.split("|")]}
    if re.fullmatch(r"\d+\.\.\d+", accepted):
        return {"pattern": r"^\d*$"}
    if accepted == "duration":
        return {"pattern": r"^(0|(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))*)$"}
    if accepted == "bytes":
        return {"pattern": r"^(\d+(\.\d+)?([KMGT]i?B|B)?)?$"}
    return {}


def schema_of(value, key, told, path, config):
    described = {"description": told[path]} if path in told else {}
    name = path.rsplit(".", 1)[-1]
    if path == "config" and config:
        properties = {}
        for variable, (default, accepted, description) in sorted(config.items()):
            properties[variable] = {
                "description": f"{description} (default {default or 'none'}; {accepted})",
                "type": ["string", "integer", "boolean"], **check_of(accepted)}
            if "enum" in properties[variable]:
                properties[variable]["type"] = ["string", "boolean"]
                if set(properties[variable]["enum"]) == {"", "true", "false"}:
                    properties[variable]["enum"] += [True, False]
        return {"type": "object", "properties": properties, "additionalProperties": False}
    if isinstance(value, dict):
        if name in FREE:
            return {"type": "object", **described}
        return {"type": "object", **described, "additionalProperties": False,
                "properties": {each: schema_of(inner, each, told, f"{path}.{each}" if path else each,
                                               config)
                               for each, inner in value.items()}}
    if isinstance(value, bool):
        return {"type": "boolean", **described}
    if isinstance(value, int):
        least = 1 if "eplicas" in name else 0
        return {"type": "integer", "minimum": least, **described}
    if isinstance(value, float):
        return {"type": "number", **described}
    if isinstance(value, list):
        return {"type": "array", **described}
    if name in ENUMS:
        return {"enum": ENUMS[name], **described}
    if name in ("cpu", "memory", "maxUnavailable", "tag"):
        return {"type": ["string", "integer"], **described}
    return {"type": "string", **described}


def schema(chart):
    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    config = settings(SERVICES[chart]) if chart in SERVICES else None
    told = descriptions(CHARTS / chart / "values.yaml")
    made = schema_of(values, "", told, "", config)
    if chart == UMBRELLA:
        # The parts' values are checked by the parts' own schemas.
        for part in (*SERVICES, *STATES):
            made["properties"][part] = {"type": "object"}
        made["properties"]["common"] = {"type": "object"}
    else:
        made["properties"] |= {"global": {"type": "object"}, "common": {"type": "object"},
                               "enabled": {"type": "boolean"}}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": chart, **made}


def leaves(value, path=""):
    name = path.rsplit(".", 1)[-1]
    if isinstance(value, dict) and value and name not in FREE:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def readme(chart):
    about = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    values = yaml.safe_load((CHARTS / chart / "values.yaml").read_text())
    told = descriptions(CHARTS / chart / "values.yaml")
    config = settings(SERVICES[chart]) if chart in SERVICES else {}
    lines = [f"# {chart}", "", f"{about['description']}.", "",
             f"    helm install {chart} charts/{chart}", "",
             "Made by `scripts/charts.py` from values.yaml; do not edit.", "",
             "| Value | Default | What it does |", "|---|---|---|"]
    for path, default in leaves(values):
        text = told.get(path, "")
        if path.startswith("config.") and not text:
            text = config.get(path.removeprefix("config."), ("", "", ""))[2]
        shown = json.dumps(default) if default != "" else '""'
        lines.append(f"| `{path}` | `{cell(shown)}` | {cell(text)} |")
    if config:
        rest = [name for name in sorted(config) if name not in values["config"]]
        lines += ["", "`config` takes these as well, each as "
                  "[docs/configuration.md](../../docs/configuration.md) says: "
                  + ", ".join(f"`{name}`" for name in rest) + "."]
    return "\n".join(lines) + "\n"


MANIFESTS = {
    "queue-service": ["--set", "config.QUEUE_ENGINE=durable"],
    "streamer": [],
    "collector": [],
    "api-gateway": [],
    "mongodb": ["--set", "auth.secret=mongodb"],
}


def manifest(chart):
    done = subprocess.run(
        ["helm", "template", chart, CHARTS / chart, "--namespace", "default", "--kube-version",
         "1.33.0", *(["--set", "image.tag=latest"] if chart in SERVICES else []),
         *MANIFESTS[chart]],
        capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"charts: helm template {chart} failed:\n{done.stderr}")
    documents = []
    for document in yaml.safe_load_all(done.stdout):
        if not document:
            continue
        metadata = document["metadata"]
        metadata.pop("namespace", None)  # that of the context
        for labels in (metadata.get("labels", {}), document.get("spec", {}).get("template", {})
                       .get("metadata", {}).get("labels", {})):
            for name in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
                labels.pop(name, None)
        documents.append(document)
    head = (f"# Made by scripts/charts.py from charts/{chart}; do not edit.\n")
    return head + "".join("---\n" + yaml.safe_dump(each, sort_keys=False) for each in documents)


def outputs():
    for chart in (*SERVICES, *STATES, UMBRELLA):
        yield CHARTS / chart / "values.schema.json", json.dumps(schema(chart), indent=2,
                                                                ensure_ascii=False) + "\n"
        yield CHARTS / chart / "README.md", readme(chart)
    if shutil.which("helm"):
        for chart in MANIFESTS:
            yield ROOT / f"k8s/{chart}.yaml", manifest(chart)
    else:
        print("charts: there is no helm, so k8s/ is left as it is", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    arguments = parser.parse_args()
    stale = []
    # Schemas and read-mes first: helm reads the schema.
    for path, text in outputs():
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.relative_to(ROOT))
        if not arguments.check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    if arguments.check and stale:
        sys.exit("charts: out of date, make them with scripts/charts.py: "
                 + ", ".join(map(str, stale)))
    print(f"charts: {'wrote ' + ', '.join(map(str, stale)) if stale else 'all up to date'}")


if __name__ == "__main__":
    main()
