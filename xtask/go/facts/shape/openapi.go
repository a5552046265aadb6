package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kube-openapi/pkg/validation/spec"
	generated "k8s.io/kubernetes/pkg/generated/openapi"

	"skiff/facts/out"
)

// definitions are the OpenAPI definitions that kube-apiserver is built with, enum values included.
type definitions map[string]common.OpenAPIDefinition

// definition is the schema of one type.
type definition struct{ schema *spec.Schema }

func newDefinitions() definitions {
	return generated.GetOpenAPIDefinitions(func(path string) spec.Ref { return spec.MustCreateRef("#/" + path) })
}

func (d definitions) definition(name string) (definition, bool) {
	def, ok := d[name]
	return definition{&def.Schema}, ok
}

func (d definition) extension(name string) string {
	value, _ := d.schema.Extensions[name].(string)
	return value
}

func (d definition) raw(name string) json.RawMessage {
	value, ok := d.schema.Extensions[name]
	if !ok {
		return nil
	}
	return json.RawMessage(out.JSON(value))
}

// implied are the formats that follow from a field's type.
var implied = map[string]string{
	"int32": "int32", "int64": "int64", "float64": "double", "bytes": "byte", "time": "date-time", "microtime": "date-time", "intorstring": "int-or-string",
}

// describe copies onto f what its property says.
func (d definition) describe(f *Field) {
	for _, name := range d.schema.Required {
		f.Required = f.Required || name == f.N
	}
	property, ok := d.schema.Properties[f.N]
	if !ok {
		panic("OpenAPI has no property " + f.N + " for " + f.Go)
	}
	if property.Default != nil {
		f.Default = json.RawMessage(out.JSON(property.Default))
	}
	for _, value := range property.Enum {
		f.Enum = append(f.Enum, value.(string))
	}
	if property.Format != implied[f.T] {
		f.Format = property.Format
	}
	f.Nullable = f.Nullable || property.Nullable
	text := func(name string) string {
		value, _ := property.Extensions[name].(string)
		return value
	}
	f.List, f.Map = text("x-kubernetes-list-type"), text("x-kubernetes-map-type")
	if keys, ok := property.Extensions["x-kubernetes-list-map-keys"].([]interface{}); ok {
		for _, key := range keys {
			f.Keys = append(f.Keys, key.(string))
		}
	}
	if text("x-kubernetes-patch-strategy") != f.Patch || text("x-kubernetes-patch-merge-key") != f.MergeKey {
		fmt.Printf("note: patch strategy of %s: tags say %q %q, OpenAPI %q %q\n", f.Go, f.Patch, f.MergeKey, text("x-kubernetes-patch-strategy"), text("x-kubernetes-patch-merge-key"))
	}
}

// document is what a published OpenAPI document says of a type, as far as it is compared.
type document struct {
	Required   []string `json:"required"`
	MapType    string   `json:"x-kubernetes-map-type"`
	Unions     any      `json:"x-kubernetes-unions"`
	Properties map[string]struct {
		Default  any      `json:"default"`
		List     string   `json:"x-kubernetes-list-type"`
		Keys     []string `json:"x-kubernetes-list-map-keys"`
		Map      string   `json:"x-kubernetes-map-type"`
		Patch    string   `json:"x-kubernetes-patch-strategy"`
		MergeKey string   `json:"x-kubernetes-patch-merge-key"`
	} `json:"properties"`
}

// compareDocuments reports where the published v3 documents say something else than types.
func compareDocuments(types []*Type) {
	schemas := map[string]document{}
	files, err := filepath.Glob(filepath.Join(out.ModuleDir("k8s.io/kubernetes"), "api/openapi-spec/v3/*.json"))
	out.Must(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		out.Must(err)
		var doc struct {
			Components struct{ Schemas map[string]document }
		}
		out.Must(json.Unmarshal(text, &doc))
		for name, schema := range doc.Components.Schemas {
			schemas[name] = schema
		}
	}
	byName := map[string]*Type{}
	for _, t := range types {
		byName[t.Name] = t
	}
	var names []string
	for name := range schemas {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if _, ok := specialNames[name]; ok {
			continue
		}
		if byName[name] == nil {
			fmt.Println("note: published but not collected:", name)
			continue
		}
		compareDocument(byName[name], schemas[name])
	}
}

// specialNames are the published schemas that types.jsonl has a word for.
var specialNames = func() map[string]bool {
	names := map[string]bool{"io.k8s.apimachinery.pkg.apis.meta.v1.Patch": true}
	for path := range special {
		domain, rest, _ := strings.Cut(path, "/")
		names["io.k8s."+strings.ReplaceAll(rest, "/", ".")] = domain == "k8s.io"
	}
	return names
}()

func compareDocument(t *Type, doc document) {
	say := func(what string, ours, theirs any) {
		fmt.Printf("note: %s: %s is %v here, %v in the published document\n", t.Name, what, ours, theirs)
	}
	if t.MapType != doc.MapType {
		say("mapType", t.MapType, doc.MapType)
	}
	var unions any
	if t.Unions != nil {
		out.Must(json.Unmarshal(t.Unions, &unions))
	}
	if !reflect.DeepEqual(unions, doc.Unions) {
		say("unions", unions, doc.Unions)
	}
	extra := 0
	if t.TypeMeta {
		extra = 2
	}
	if len(doc.Properties) != len(t.Fields)+extra {
		say("number of fields", len(t.Fields)+extra, len(doc.Properties))
	}
	for _, f := range t.Fields {
		p := doc.Properties[f.N]
		var def any
		if f.Default != nil {
			out.Must(json.Unmarshal(f.Default, &def))
		}
		required := false
		for _, name := range doc.Required {
			required = required || name == f.N
		}
		if !reflect.DeepEqual(def, p.Default) {
			say(f.N+" default", def, p.Default)
		}
		if required != f.Required {
			say(f.N+" required", f.Required, required)
		}
		if p.List != f.List || p.Map != f.Map || p.Patch != f.Patch || p.MergeKey != f.MergeKey || !reflect.DeepEqual(p.Keys, f.Keys) {
			say(f.N+" topology", []any{f.List, f.Map, f.Patch, f.MergeKey, f.Keys}, []any{p.List, p.Map, p.Patch, p.MergeKey, p.Keys})
		}
	}
}
