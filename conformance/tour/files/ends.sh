#!/bin/sh
# Plays the node: waits for the pod $1 and says that it ended as $2.
kubectl wait --for=create "pod/$1" --timeout=60s &&
  kubectl patch pod "$1" --subresource=status -p "{\"status\":{\"phase\":\"$2\"}}"
