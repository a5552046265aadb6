package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
	"sigs.k8s.io/structured-merge-diff/v6/typed"

	"skiff/facts/out"
)

// writeFieldSets compares client-go's structured-merge schema with types and writes what types cannot say, if anything.
// A line of the file is {"name": type, "field": …, "types": what types.jsonl implies, "merge": what the schema says}.
func writeFieldSets(dir string, types []*Type) error {
	byName := map[string]*Type{}
	for _, t := range types {
		byName[t.Name] = t
	}
	var lines []any
	say := func(name, field, ours, theirs string) {
		lines = append(lines, map[string]string{"name": name, "field": field, "types": ours, "merge": theirs})
	}
	for _, def := range mergeSchema().Types {
		t := byName[def.Name]
		if t == nil || def.Map == nil {
			continue
		}
		relationship := string(def.Map.ElementRelationship)
		if relationship == "separable" {
			relationship = ""
		}
		if relationship != atomic(t.MapType) {
			say(t.Name, "", t.MapType, relationship)
		}
		compareFields(t, def.Map, say)
		if len(def.Map.Unions) > 0 && t.Unions == nil {
			say(t.Name, "", "no unions", "unions")
		}
	}
	if len(lines) == 0 {
		return nil
	}
	f := out.New(dir, "field_sets.jsonl")
	f.Line(map[string]any{"source": out.Source("k8s.io/client-go")})
	for _, line := range lines {
		f.Line(line)
	}
	fmt.Println("note:", len(lines), "differences from the structured-merge schema in field_sets.jsonl")
	return f.Close()
}

func compareFields(t *Type, def *smd.Map, say func(name, field, ours, theirs string)) {
	theirs := map[string]string{}
	for _, field := range def.Fields {
		theirs[field.Name] = describeRef(field.Type) + describeDefault(field.Default)
	}
	ours := map[string]string{}
	for _, field := range t.Fields {
		ours[field.N] = describeField(field)
	}
	if t.TypeMeta {
		ours["apiVersion"], ours["kind"] = "string", "string"
	}
	names := map[string]bool{}
	for name := range theirs {
		names[name] = true
	}
	for name := range ours {
		names[name] = true
	}
	var sorted []string
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	for _, name := range sorted {
		if ours[name] != theirs[name] {
			say(t.Name, name, ours[name], theirs[name])
		}
	}
}

func atomic(word string) string {
	if word == "atomic" {
		return word
	}
	return ""
}

func describeDefault(value any) string {
	if value == nil {
		return ""
	}
	return " default " + out.JSON(plain(value))
}

// plain makes JSON-able what YAML decoding left as map[any]any.
func plain(value any) any {
	switch value := value.(type) {
	case map[interface{}]interface{}:
		object := map[string]any{}
		for key, member := range value {
			object[fmt.Sprint(key)] = plain(member)
		}
		return object
	case []interface{}:
		for i := range value {
			value[i] = plain(value[i])
		}
	}
	return value
}

func describeRef(ref smd.TypeRef) string {
	if ref.NamedType != nil {
		text := *ref.NamedType
		if ref.ElementRelationship != nil {
			text += " " + string(*ref.ElementRelationship)
		}
		return text
	}
	atom := ref.Inlined
	switch {
	case atom.Scalar != nil && atom.List == nil && atom.Map == nil:
		return string(*atom.Scalar)
	case atom.List != nil:
		return fmt.Sprintf("[%s %v]%s", atom.List.ElementRelationship, atom.List.Keys, describeRef(atom.List.ElementType))
	case atom.Map != nil:
		return fmt.Sprintf("map[%s]%s", atomic(string(atom.Map.ElementRelationship)), describeRef(atom.Map.ElementType))
	}
	return "?"
}

// describeField is what describeRef would say of f, going by types.jsonl alone.
func describeField(f *Field) string {
	text := describeType(f.T, f)
	if f.Default != nil {
		text += " default " + string(f.Default)
	}
	return text
}

var mergeNames = map[string]string{
	"bool": "boolean", "int32": "numeric", "int64": "numeric", "float64": "numeric", "bytes": "string", "string": "string",
}

func describeType(t string, f *Field) string {
	if elem, ok := strings.CutPrefix(t, "[]"); ok {
		relationship, keys := "atomic", []string(nil)
		if f.List == "map" || f.List == "set" {
			relationship, keys = "associative", f.Keys
		}
		return fmt.Sprintf("[%s %v]%s", relationship, keys, describeType(elem, &Field{}))
	}
	if elem, ok := strings.CutPrefix(t, "map[string]"); ok {
		return fmt.Sprintf("map[%s]%s", atomic(f.Map), describeType(elem, &Field{}))
	}
	if name := mergeNames[t]; name != "" {
		return name
	}
	if t == "raw" {
		// Schema conversion makes every reference to RawExtension one opaque value.
		return "__untyped_atomic_"
	}
	for path, word := range special {
		if word == t {
			_, rest, _ := strings.Cut(path, "/")
			return "io.k8s." + strings.ReplaceAll(rest, "/", ".")
		}
	}
	if f.Map == "atomic" || f.Map == "granular" {
		relationship := map[string]string{"atomic": "atomic", "granular": "separable"}[f.Map]
		return t + " " + relationship
	}
	return t
}

// mergeSchema is the schema in the source text of client-go's internal package, which cannot be imported.
func mergeSchema() smd.Schema {
	path := filepath.Join(out.ModuleDir("k8s.io/client-go"), "applyconfigurations/internal/internal.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	out.Must(err)
	var text string
	ast.Inspect(file, func(node ast.Node) bool {
		literal, ok := node.(*ast.BasicLit)
		if ok && literal.Kind == token.STRING && len(literal.Value) > len(text) {
			text = literal.Value
		}
		return true
	})
	text, err = strconv.Unquote(text)
	out.Must(err)
	parsed, err := typed.NewParser(typed.YAMLObject(text))
	out.Must(err)
	return parsed.Schema
}
