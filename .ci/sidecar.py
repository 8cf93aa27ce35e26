"""What a schema cannot say about the rendered manifests: `sidecar.py RENDERED.yaml`."""

import re
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as rendered:
    objects = list(yaml.safe_load_all(rendered))

deployments = [o for o in objects if o["kind"] == "Deployment"]
names = {(o["kind"], o["metadata"]["name"]) for o in objects}
configurations = "".join(o["data"]["bearward.toml"] for o in objects if o["kind"] == "ConfigMap")
assert deployments, "no Deployment"

for deployment in deployments:
    pod = deployment["spec"]["template"]["spec"]
    first = pod["initContainers"][0]
    assert first["name"] == "bearward", f"starts first: {first['name']}"
    assert first["restartPolicy"] == "Always", "not a native sidecar"
    assert "readinessProbe" not in first, "its readiness would count for the pod"
    assert first["startupProbe"]["exec"]["command"][:2] == ["/bearward", "wait"], "probes from outside the pod's loopback"
    security = first["securityContext"]
    assert security["runAsUser"] == 65532 and security["runAsNonRoot"], "not the numeric user"
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"]["drop"] == ["ALL"] and "add" not in security["capabilities"]
    assert security["seccompProfile"]["type"] == "RuntimeDefault"
    assert "memory" in first["resources"]["limits"]

    for address in re.findall(r"http://(127\.0\.0\.1:\d+)", str(pod["containers"])):
        assert f'"{address}"' in configurations, f"the application uses {address}, where nothing listens"

    for other in pod["initContainers"][1:]:
        security = other["securityContext"]
        assert other["name"] == "bearward-redirect", f"what is {other['name']}?"
        assert "restartPolicy" not in other, "it would keep CAP_NET_ADMIN beside the application"
        assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]} and security["readOnlyRootFilesystem"]
        assert {"name": "BEARWARD_UID", "value": "65532"} in other["env"], "bearward's own connections would be redirected"
        assert '[transparent]\nlisten          = "127.0.0.1:15001"' in configurations, "nothing listens where it redirects to"

    volumes = {v["name"]: v for v in pod["volumes"]}
    for mount in first["volumeMounts"]:
        assert mount["name"] in volumes, f"mounts {mount['name']}, which is no volume"
    config = volumes["bearward-config"]["configMap"]["name"]
    assert ("ConfigMap", config) in names, f"names the ConfigMap {config}, which is not there"
    secret = volumes["bearward-secrets"]["secret"]["secretName"]
    assert ("Secret", secret) in names, f"names the Secret {secret}, which is not there"
    claim = volumes["bearward-state"].get("persistentVolumeClaim")
    if claim:
        assert ("PersistentVolumeClaim", claim["claimName"]) in names, "names a claim that is not there"
        assert "emptyDir" not in volumes["bearward-state"], "two volumes in one"
        assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"]["type"] == "Recreate"
