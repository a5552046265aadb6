package main

import (
	"sort"

	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy"

	"skiff/facts/out"
)

// lines is each object as a line of JSON.
func lines[T any](objects []T) []string {
	var all []string
	for _, object := range objects {
		all = append(all, out.JSON(object))
	}
	return all
}

// byNamespace is the objects of all namespaces, in the order of the namespaces' names.
func byNamespace[T any](objects map[string][]T) []T {
	var names []string
	for name := range objects {
		names = append(names, name)
	}
	sort.Strings(names)
	var all []T
	for _, name := range names {
		all = append(all, objects[name]...)
	}
	return all
}

// writeRoles writes the RBAC objects that the server reconciles at start, in the order in which it does.
func writeRoles(dir string) error {
	f := out.New(dir, "bootstrap_roles.json")
	f.Text("{")
	f.Text(` "source": ` + out.JSON(out.Source("k8s.io/kubernetes")) + ",")
	f.Array("clusterRoles", lines(append(bootstrappolicy.ClusterRoles(), bootstrappolicy.ControllerRoles()...)), false)
	f.Array("clusterRoleBindings", lines(append(bootstrappolicy.ClusterRoleBindings(), bootstrappolicy.ControllerRoleBindings()...)), false)
	f.Array("roles", lines(byNamespace(bootstrappolicy.NamespaceRoles())), false)
	f.Array("roleBindings", lines(byNamespace(bootstrappolicy.NamespaceRoleBindings())), false)
	f.Text(` "clusterRolesToAggregate": ` + out.JSON(bootstrappolicy.ClusterRolesToAggregate()) + ",")
	f.Text(` "clusterRoleBindingsToSplit": ` + out.JSON(bootstrappolicy.ClusterRoleBindingsToSplit()))
	f.Text("}")
	return f.Close()
}

// Feature is a feature gate of the server and what it is when nobody sets it.
type Feature struct {
	Name    string `json:"name"`
	Default bool   `json:"default"`
	Stage   string `json:"stage"`
	Locked  bool   `json:"locked,omitempty"`
}

// writeFeatures writes the feature gates; markers in types.jsonl name them.
func writeFeatures(dir string) error {
	var all []Feature
	for name, spec := range utilfeature.DefaultMutableFeatureGate.GetAll() {
		stage := string(spec.PreRelease)
		if stage == "" {
			stage = "GA"
		}
		all = append(all, Feature{string(name), spec.Default, stage, spec.LockToDefault})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	f := out.New(dir, "features.json")
	f.Text("{")
	f.Text(` "source": ` + out.JSON(out.Source("k8s.io/kubernetes", "k8s.io/apiserver")) + ",")
	f.Array("features", lines(all), true)
	f.Text("}")
	return f.Close()
}

// writeFlowSchemas writes the priority and fairness objects that always exist, and those that exist unless deleted.
func writeFlowSchemas(dir string) error {
	f := out.New(dir, "flow_schemas.json")
	f.Text("{")
	f.Text(` "source": ` + out.JSON(out.Source("k8s.io/apiserver")) + ",")
	f.Array("mandatoryPriorityLevels", lines(bootstrap.MandatoryPriorityLevelConfigurations), false)
	f.Array("mandatoryFlowSchemas", lines(bootstrap.MandatoryFlowSchemas), false)
	f.Array("suggestedPriorityLevels", lines(bootstrap.SuggestedPriorityLevelConfigurations), false)
	f.Array("suggestedFlowSchemas", lines(bootstrap.SuggestedFlowSchemas), true)
	f.Text("}")
	return f.Close()
}
