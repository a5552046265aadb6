package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"skiff/facts/out"
)

// Probe says which defaults appear in an object of a kind: path to value.
type Probe struct {
	GVK   [3]string      `json:"gvk"`
	Zero  map[string]any `json:"zero,omitempty"`
	Lists map[string]any `json:"lists,omitempty"`
	Full  map[string]any `json:"full,omitempty"`
}

// writeDefaults defaults three objects of each kind: all members zero; one zero element in each list of structs;
// and in addition every pointer to a struct set. Each shows only what the one before did not.
func writeDefaults(dir string) error {
	var kinds []schema.GroupVersionKind
	for kind := range legacyscheme.Scheme.AllKnownTypes() {
		if publishedVersions()[kind.GroupVersion()] {
			kinds = append(kinds, kind)
		}
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	f := out.New(dir, "defaults_probe.jsonl")
	f.Line(map[string]any{"source": out.Source("k8s.io/kubernetes")})
	for _, kind := range kinds {
		probe := Probe{GVK: [3]string{kind.Group, kind.Version, kind.Kind}}
		probe.Zero = defaulted(kind, 0)
		probe.Lists = without(defaulted(kind, 1), probe.Zero)
		probe.Full = without(defaulted(kind, 2), probe.Zero, probe.Lists)
		if len(probe.Zero)+len(probe.Lists)+len(probe.Full) > 0 && kind.Group != "meta.k8s.io" && !isList(kind) {
			f.Line(probe)
		}
	}
	return f.Close()
}

func isList(kind schema.GroupVersionKind) bool {
	typ := legacyscheme.Scheme.AllKnownTypes()[kind]
	items, ok := typ.FieldByName("Items")
	return ok && items.Type.Kind() == reflect.Slice
}

// defaulted is the leaves that defaulting adds or changes. level: 0 zero, 1 lists, 2 pointers too.
func defaulted(kind schema.GroupVersionKind, level int) map[string]any {
	object, err := legacyscheme.Scheme.New(kind)
	out.Must(err)
	fill(reflect.ValueOf(object).Elem(), level, map[reflect.Type]int{})
	before := leaves(object)
	legacyscheme.Scheme.Default(object)
	added := map[string]any{}
	for path, value := range leaves(object) {
		if old, ok := before[path]; !ok || !reflect.DeepEqual(old, value) {
			added[path] = value
		}
	}
	return added
}

func without(probe map[string]any, known ...map[string]any) map[string]any {
	for _, k := range known {
		for path, value := range k {
			if reflect.DeepEqual(probe[path], value) {
				delete(probe, path)
			}
		}
	}
	return probe
}

// fill puts one zero element in lists of structs (level 1) and behind pointers to structs (level 2).
func fill(value reflect.Value, level int, on map[reflect.Type]int) {
	typ := value.Type()
	if level == 0 || typ.Kind() != reflect.Struct || on[typ] > 0 {
		return
	}
	if _, opaque := value.Addr().Interface().(json.Marshaler); opaque {
		return
	}
	on[typ]++
	defer func() { on[typ]-- }()
	for i := 0; i < value.NumField(); i++ {
		field := value.Field(i)
		if !typ.Field(i).IsExported() {
			continue
		}
		switch field.Kind() {
		case reflect.Struct:
			fill(field, level, on)
		case reflect.Slice:
			elem := field.Type().Elem()
			if elem.Kind() == reflect.Struct && on[elem] == 0 {
				field.Set(reflect.MakeSlice(field.Type(), 1, 1))
				fill(field.Index(0), level, on)
			}
		case reflect.Pointer:
			elem := field.Type().Elem()
			if level > 1 && elem.Kind() == reflect.Struct && on[elem] == 0 {
				field.Set(reflect.New(elem))
				fill(field.Elem(), level, on)
			}
		}
	}
}

// leaves is the object's JSON by path.
func leaves(object runtime.Object) map[string]any {
	text, err := json.Marshal(object)
	out.Must(err)
	var tree any
	out.Must(json.Unmarshal(text, &tree))
	all := map[string]any{}
	collect(tree, "", all)
	return all
}

func collect(tree any, path string, all map[string]any) {
	switch tree := tree.(type) {
	case map[string]any:
		if len(tree) == 0 {
			all[path] = tree
		}
		for name, member := range tree {
			collect(member, path+"."+name, all)
		}
	case []any:
		if len(tree) == 0 {
			all[path] = tree
		}
		for i, element := range tree {
			collect(element, fmt.Sprintf("%s[%d]", path, i), all)
		}
	case string:
		if _, err := time.Parse(time.RFC3339, tree); err == nil {
			tree = "<now>"
		}
		all[path] = tree
	default:
		all[path] = tree
	}
}
