"""Walks through what the official Python client can ask for, and checks what it sees."""

import sys

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException


def equal(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: found {found!r}, wanted {wanted!r}")


def refused(status, what, ask, *arguments, **options):
    """The answer's error, which has to have this status."""
    try:
        ask(*arguments, **options)
    except ApiException as error:
        equal(error.status, status, what)
        return error
    sys.exit(f"{what}: it was not refused")


def config_map(name, **labels):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data={"a": "1"})


def pages(core, namespace):
    """25 objects in pages of 10, all as of one version."""
    for index in range(25):
        core.create_namespaced_config_map(namespace, config_map(f"page-{index:02}", colour=("red", "blue")[index % 2]))
    names, versions, remaining, token = [], set(), [], None
    while True:
        page = core.list_namespaced_config_map(namespace, limit=10, _continue=token)
        names += [item.metadata.name for item in page.items if item.metadata.name.startswith("page-")]
        versions.add(page.metadata.resource_version)
        remaining.append(page.metadata.remaining_item_count)
        token = page.metadata._continue
        if not token:
            break
    equal(names, [f"page-{index:02}" for index in range(25)], "names over all pages")
    equal(len(versions), 1, "versions of pages")
    equal((remaining[0] - remaining[1], remaining[2]), (10, None), "remainingItemCount")
    blue = core.list_namespaced_config_map(namespace, label_selector="colour=blue", limit=5)
    equal((len(blue.items), blue.metadata.remaining_item_count), (5, None), "blue ones on a page")
    refused(400, "a forged token", core.list_namespaced_config_map, namespace, limit=10, _continue="nonsense")


def watches(core, namespace):
    before = core.list_namespaced_config_map(namespace).metadata.resource_version
    made = core.create_namespaced_config_map(namespace, config_map("watched"))
    core.patch_namespaced_config_map("watched", namespace, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("watched", namespace)
    seen = []
    events = watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version=before, timeout_seconds=60)
    for event in events:
        seen.append((event["type"], event["object"].data.get("a")))
        if event["type"] == "DELETED":
            break
    equal(seen, [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], "events")
    # Resumed where the first was seen.
    events = watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=made.metadata.resource_version, timeout_seconds=60
    )
    equal([next(events)["type"], next(events)["type"]], ["MODIFIED", "DELETED"], "events since the first")
    # A list as a watch; the bookmark says that this was all.
    types = []
    events = watch.Watch().stream(
        core.list_namespaced_config_map,
        namespace,
        label_selector="colour=blue",
        send_initial_events=True,
        resource_version_match="NotOlderThan",
        allow_watch_bookmarks=True,
        timeout_seconds=60,
    )
    for event in events:
        types.append(event["type"])
        if event["type"] == "BOOKMARK":
            notes = event["raw_object"]["metadata"]["annotations"]
            equal(notes, {"k8s.io/initial-events-end": "true"}, "the bookmark")
            break
    equal(types, ["ADDED"] * 12 + ["BOOKMARK"], "a list as a watch")


def deployment(name):
    labels = {"app": name}
    container = client.V1Container(name="main", image="registry.example/main:1")
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])
    )
    spec = client.V1DeploymentSpec(selector=client.V1LabelSelector(match_labels=labels), template=template)
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def patches(apps, namespace):
    made = apps.create_namespaced_deployment(namespace, deployment("web"))
    equal((made.spec.replicas, made.spec.strategy.type, made.metadata.generation), (1, "RollingUpdate", 1), "defaults")
    side = {"name": "side", "image": "registry.example/side:1"}
    patched = apps.patch_namespaced_deployment(
        "web", namespace, {"spec": {"template": {"spec": {"containers": [side]}}}}
    )
    equal([c.name for c in patched.spec.template.spec.containers], ["side", "main"], "a strategic patch")
    operations = [{"op": "remove", "path": "/spec/template/spec/containers/0"}]
    patched = apps.patch_namespaced_deployment("web", namespace, operations, _content_type="application/json-patch+json")
    equal([c.name for c in patched.spec.template.spec.containers], ["main"], "a JSON patch")
    dry = apps.patch_namespaced_deployment("web", namespace, {"spec": {"replicas": 9}}, dry_run="All")
    equal(dry.spec.replicas, 9, "what would be")
    scaled = apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 4}})
    equal((scaled.spec.replicas, scaled.status.selector), (4, "app=web"), "scale")
    found = apps.read_namespaced_deployment("web", namespace)
    found.status.observed_generation = found.metadata.generation
    found.spec.replicas = 8
    found = apps.replace_namespaced_deployment_status("web", namespace, found)
    equal((found.spec.replicas, found.status.observed_generation), (4, found.metadata.generation), "status alone")


def applies(api, namespace):
    """Server-side apply, by the client that knows no kinds."""
    maps = dynamic.DynamicClient(api).resources.get(api_version="v1", kind="ConfigMap")
    wanted = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "applied"},
        "data": {"a": "1", "b": "2"},
    }
    made = maps.server_side_apply(body=wanted, namespace=namespace, field_manager="one")
    again = maps.server_side_apply(body=wanted, namespace=namespace, field_manager="one")
    equal(again.metadata.resourceVersion, made.metadata.resourceVersion, "nothing to do")
    other = {**wanted, "data": {"a": "other"}}
    error = refused(
        409, "another's field", maps.server_side_apply, body=other, namespace=namespace, field_manager="two"
    )
    equal('conflict with \\"one\\": .data.a' in str(error.body), True, "whose it is")
    forced = maps.server_side_apply(body=other, namespace=namespace, field_manager="two", force_conflicts=True)
    equal(forced.data.to_dict(), {"a": "other", "b": "2"}, "data")


def refusals(core, namespace):
    refused(404, "what is not there", core.read_namespaced_config_map, "nothing", namespace)
    refused(409, "what is there", core.create_namespaced_config_map, namespace, config_map("applied"))
    error = refused(422, "a bad name", core.create_namespaced_config_map, namespace, config_map("Not A Name"))
    equal("metadata.name" in error.body, True, "the field that is wrong")
    old = config_map("applied")
    old.metadata.resource_version = "1"
    refused(409, "an old version", core.replace_namespaced_config_map, "applied", namespace, old)
    patch = {"dta": {}}
    refused(422, "no such field", core.patch_namespaced_config_map, "applied", namespace, patch, field_validation="Strict")


def leave(core, namespace):
    core.delete_collection_namespaced_config_map(namespace, label_selector="colour=blue")
    equal(len(core.list_namespaced_config_map(namespace, label_selector="colour").items), 13, "what is left")
    select = f"metadata.name={namespace}"
    now = core.list_namespace(field_selector=select).metadata.resource_version
    core.delete_namespace(namespace)
    events = watch.Watch().stream(core.list_namespace, field_selector=select, resource_version=now, timeout_seconds=120)
    equal(any(event["type"] == "DELETED" for event in events), True, "the namespace goes")


def main():
    config.load_kube_config()
    api = client.ApiClient()
    core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
    equal(client.VersionApi(api).get_code().minor, "37", "version")
    made = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(generate_name="python-")))
    namespace = made.metadata.name
    pages(core, namespace)
    watches(core, namespace)
    patches(apps, namespace)
    applies(api, namespace)
    refusals(core, namespace)
    leave(core, namespace)
    print("python: all is as it should be")


main()
