package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"skiff/facts/out"
)

// Resource is one resource of a group version in discovery.json.
type Resource struct {
	Plural       string        `json:"plural"`
	Singular     string        `json:"singular"`
	Kind         string        `json:"kind"`
	Group        string        `json:"group,omitempty"`
	Version      string        `json:"version,omitempty"`
	Namespaced   bool          `json:"namespaced"`
	Verbs        []string      `json:"verbs"`
	ShortNames   []string      `json:"shortNames,omitempty"`
	Categories   []string      `json:"categories,omitempty"`
	Hash         string        `json:"storageVersionHash,omitempty"`
	Subresources []Subresource `json:"subresources,omitempty"`
}

// Subresource is a subresource of Resource; its kind's group and version only where they are not the resource's own.
type Subresource struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Group   string   `json:"group,omitempty"`
	Version string   `json:"version,omitempty"`
	Verbs   []string `json:"verbs"`
}

// group is a group of discovery.json: its versions by priority, the preferred one first.
type group struct {
	name     string
	versions []string
}

// writeDiscovery flattens the published discovery documents, which were made with every API switched on.
func writeDiscovery(dir string) error {
	folder := filepath.Join(out.ModuleDir("k8s.io/kubernetes"), "api/discovery")
	f := out.New(dir, "discovery.json")
	f.Text("{")
	f.Text(` "source": ` + out.JSON(out.Source("k8s.io/kubernetes")) + ",")
	f.Text(` "groups": [`)
	all := groups(folder)
	for i, g := range all {
		f.Text("  {\"name\": " + out.JSON(g.name) + ", \"versions\": [")
		for j, version := range g.versions {
			resources, err := resources(folder, g.name, version)
			if err != nil {
				return err
			}
			f.Text("   {\"version\": " + out.JSON(version) + ", \"resources\": [")
			for k, resource := range resources {
				f.Text("    " + out.JSON(resource) + comma(k, len(resources)))
			}
			f.Text("   ]}" + comma(j, len(g.versions)))
		}
		f.Text("  ]}" + comma(i, len(all)))
	}
	f.Text(" ]")
	f.Text("}")
	return f.Close()
}

func comma(i, n int) string {
	if i+1 < n {
		return ","
	}
	return ""
}

// groups are the groups in the order in which discovery lists them, the core group first.
func groups(folder string) []group {
	var list metav1.APIGroupList
	out.Must(readJSON(filepath.Join(folder, "apis.json"), &list))
	all := []group{{"", []string{"v1"}}}
	for _, g := range list.Groups {
		var versions []string
		for _, v := range g.Versions {
			versions = append(versions, v.Version)
		}
		all = append(all, group{g.Name, versions})
	}
	return all
}

func resources(folder, group, version string) ([]Resource, error) {
	name := "apis__" + group + "__" + version + ".json"
	if group == "" {
		name = "api__" + version + ".json"
	}
	var list metav1.APIResourceList
	if err := readJSON(filepath.Join(folder, name), &list); err != nil {
		return nil, err
	}
	var all []Resource
	index := map[string]int{}
	for _, r := range list.APIResources {
		plural, sub := split(r.Name)
		if sub != "" {
			at, ok := index[plural]
			if !ok {
				// A subresource of a resource that is listed later, or never: it stands on its own.
				panic("subresource without its resource: " + r.Name)
			}
			all[at].Subresources = append(all[at].Subresources, Subresource{sub, r.Kind, r.Group, r.Version, r.Verbs})
			continue
		}
		index[plural] = len(all)
		all = append(all, Resource{plural, r.SingularName, r.Kind, r.Group, r.Version, r.Namespaced, r.Verbs, r.ShortNames, r.Categories, r.StorageVersionHash, nil})
	}
	return all, nil
}

func split(name string) (string, string) {
	for i := 0; i < len(name); i++ {
		if name[i] == '/' {
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
