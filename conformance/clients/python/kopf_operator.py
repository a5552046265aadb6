"""An operator as people write them with kopf, and its user beside it: for each Gadget a ConfigMap, and a word in its status."""

import asyncio
import sys

import kopf
from kubernetes import client, config, watch

GROUP, VERSION, PLURAL = "skiff.test", "v1", "gadgets"
CLEANED = set()


def definition():
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {"size": {"type": "integer"}, "colour": {"type": "string", "default": "blue"}},
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": "Gadget", "plural": PLURAL, "singular": "gadget"},
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


@kopf.on.startup()
def quiet(settings, **_):
    settings.posting.level = 100
    settings.persistence.finalizer = "skiff.test/kopf"


@kopf.on.create(GROUP, VERSION, PLURAL)
def create(spec, name, namespace, body, **_):
    owned = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"size": str(spec["size"])}}
    kopf.adopt(owned, owner=body)
    client.CoreV1Api().create_namespaced_config_map(namespace, owned)
    return {"size": spec["size"], "colour": spec["colour"]}


@kopf.on.update(GROUP, VERSION, PLURAL, field="spec.size")
def update(new, name, namespace, patch, **_):
    client.CoreV1Api().patch_namespaced_config_map(name, namespace, {"data": {"size": str(new)}})
    patch.status["resized"] = new


@kopf.on.delete(GROUP, VERSION, PLURAL)
def delete(name, **_):
    CLEANED.add(name)


def equal(found, wanted, what):
    if found != wanted:
        sys.exit(f"{what}: found {found!r}, wanted {wanted!r}")


def until(what, ask, fits, **options):
    """Watches one object until an event is as it should be."""
    for event in watch.Watch().stream(ask, timeout_seconds=90, **options):
        if fits(event["type"], event["object"]):
            return event["object"]
    sys.exit(f"{what} did not come to be")


def use(namespace):
    """What the operator's user does, in a thread beside it."""
    gadgets, core = client.CustomObjectsApi(), client.CoreV1Api()
    where = {"group": GROUP, "version": VERSION, "namespace": namespace, "plural": PLURAL}

    def seen(what, fits):
        return until(what, gadgets.list_namespaced_custom_object, fits, **where)

    wanted = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Gadget", "metadata": {"name": "one"}, "spec": {"size": 3}}
    made = gadgets.create_namespaced_custom_object(**where, body=wanted)
    found = seen("a status", lambda _, gadget: "create" in gadget.get("status", {}))
    equal(found["status"]["create"], {"size": 3, "colour": "blue"}, "what the operator says")
    equal(found["metadata"]["finalizers"], ["skiff.test/kopf"], "who holds it")
    owned = core.read_namespaced_config_map("one", namespace)
    equal(owned.metadata.owner_references[0].uid, made["metadata"]["uid"], "the owner")
    gadgets.patch_namespaced_custom_object(**where, name="one", body={"spec": {"size": 4}})
    seen("a new status", lambda _, gadget: gadget.get("status", {}).get("resized") == 4)
    equal(core.read_namespaced_config_map("one", namespace).data, {"size": "4"}, "what it owns follows")
    version = gadgets.list_namespaced_custom_object(**where)["metadata"]["resourceVersion"]
    gadgets.delete_namespaced_custom_object(**where, name="one")
    where["resource_version"] = version
    seen("its end", lambda event, _: event == "DELETED")
    equal(CLEANED, {"one"}, "what the operator cleaned up")


def establish():
    extensions = client.ApiextensionsV1Api()
    extensions.create_custom_resource_definition(definition())

    def is_established(_, kind):
        conditions = kind.status.conditions or []
        return any(c.type == "Established" and c.status == "True" for c in conditions)

    options = {"field_selector": f"metadata.name={PLURAL}.{GROUP}"}
    until("the kind", extensions.list_custom_resource_definition, is_established, **options)


async def main():
    config.load_kube_config()
    core = client.CoreV1Api()
    establish()
    namespace = core.create_namespace(client.V1Namespace(metadata={"generateName": "kopf-"})).metadata.name
    ready, stop = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(
        kopf.operator(namespaces=[namespace], standalone=True, ready_flag=ready, stop_flag=stop)
    )
    try:
        await asyncio.wait_for(ready.wait(), 90)
        await asyncio.to_thread(use, namespace)
    finally:
        stop.set()
        await asyncio.wait_for(working, 90)
    core.delete_namespace(namespace)
    client.ApiextensionsV1Api().delete_custom_resource_definition(f"{PLURAL}.{GROUP}")
    print("kopf: all is as it should be")


asyncio.run(main())
