#!/bin/sh
# Plays the controller: waits for generation $2 of the deployment $1 and says that its $3 replicas are there.
kubectl wait --for=create "deployment/$1" --timeout=60s &&
  kubectl wait --for=jsonpath='{.metadata.generation}'="$2" "deployment/$1" --timeout=60s &&
  kubectl patch deployment "$1" --subresource=status -p "{\"status\":{\"observedGeneration\":$2,\"replicas\":$3,
    \"updatedReplicas\":$3,\"readyReplicas\":$3,\"availableReplicas\":$3,\"conditions\":[
    {\"type\":\"Available\",\"status\":\"True\",\"reason\":\"MinimumReplicasAvailable\"},
    {\"type\":\"Progressing\",\"status\":\"True\",\"reason\":\"NewReplicaSetAvailable\"}]}}"
