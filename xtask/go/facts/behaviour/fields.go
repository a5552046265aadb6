package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sort"
	"sync"

	apiextensionsserver "k8s.io/apiextensions-apiserver/pkg/apiserver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	aggregatorscheme "k8s.io/kube-aggregator/pkg/apiserver/scheme"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"skiff/facts/out"
)

// Selectors are the field labels that a kind's selectors may name; Renamed those that stand for another.
type Selectors struct {
	GVK     [3]string         `json:"gvk"`
	Labels  []string          `json:"labels"`
	Renamed map[string]string `json:"renamed,omitempty"`
}

// candidates are labels that are tried beside those the registries know: aliases, and labels of other versions.
var candidates = []string{
	"metadata.name", "metadata.namespace", "name", "spec.nodeName", "spec.host", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
	"spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName", "spec.unschedulable", "type", "spec.clusterIP",
	"spec.type", "status.replicas", "status.successful", "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
	"involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "regarding.kind", "regarding.namespace", "regarding.name",
	"regarding.uid", "regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath", "reason", "reportingComponent", "reportingController",
	"source", "spec.signerName", "spec.driver", "spec.node", "status.conditions", "metadata.uid", "metadata.labels", "metadata.resourceVersion", "spec.user",
}

// writeFields probes every served kind's field label conversion.
func writeFields(dir string, rows []*Row) error {
	try := map[string]bool{}
	for _, label := range candidates {
		try[label] = true
	}
	for _, row := range rows {
		for _, attr := range row.Attrs {
			try[attr] = true
		}
	}
	labels := sortedKeys(try)
	var all []Selectors
	for _, kind := range servedKinds() {
		scheme := schemeOf(kind)
		s := Selectors{GVK: [3]string{kind.Group, kind.Version, kind.Kind}}
		for _, label := range labels {
			name, _, err := scheme.ConvertFieldLabel(kind, label, "1")
			if err != nil {
				continue
			}
			s.Labels = append(s.Labels, label)
			if name != label {
				if s.Renamed == nil {
					s.Renamed = map[string]string{}
				}
				s.Renamed[label] = name
			}
		}
		all = append(all, s)
	}
	f := out.New(dir, "fields.json")
	f.Text("{")
	f.Text(` "source": ` + out.JSON(out.Source("k8s.io/kubernetes", "k8s.io/apiextensions-apiserver", "k8s.io/kube-aggregator")) + ",")
	f.Array("kinds", lines(all), true)
	f.Text("}")
	return f.Close()
}

func schemeOf(kind schema.GroupVersionKind) *runtime.Scheme {
	switch kind.Group {
	case "apiextensions.k8s.io":
		return apiextensionsserver.Scheme
	case "apiregistration.k8s.io":
		return aggregatorscheme.Scheme
	}
	return legacyscheme.Scheme
}

// published are the discovery documents in the module, one per group version.
var published = sync.OnceValue(func() []metav1.APIResourceList {
	files, err := filepath.Glob(filepath.Join(out.ModuleDir("k8s.io/kubernetes"), "api/discovery/api*__v*.json"))
	out.Must(err)
	var lists []metav1.APIResourceList
	for _, file := range files {
		text, err := os.ReadFile(file)
		out.Must(err)
		var list metav1.APIResourceList
		out.Must(json.Unmarshal(text, &list))
		lists = append(lists, list)
	}
	return lists
})

// servedKinds are the kinds that can be listed.
func servedKinds() []schema.GroupVersionKind {
	var kinds []schema.GroupVersionKind
	for _, list := range published() {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		out.Must(err)
		for _, resource := range list.APIResources {
			if contains(resource.Verbs, "list") {
				kinds = append(kinds, version.WithKind(resource.Kind))
			}
		}
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	return kinds
}

// publishedVersions is the set of served group versions.
func publishedVersions() map[schema.GroupVersion]bool {
	versions := map[schema.GroupVersion]bool{}
	for _, list := range published() {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		out.Must(err)
		versions[version] = true
	}
	return versions
}

// servedVersions is the set of group/version/resource in the published discovery documents.
func servedVersions() map[string]bool {
	served := map[string]bool{}
	for _, list := range published() {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		out.Must(err)
		for _, resource := range list.APIResources {
			served[version.Group+"/"+version.Version+"/"+resource.Name] = true
		}
	}
	return served
}
