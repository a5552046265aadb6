package main

import (
	"encoding/json"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"skiff/facts/out"
)

// Type is a line of types.jsonl. See schema/facts/README.md for what the keys mean.
type Type struct {
	Name        string              `json:"name"`
	Go          string              `json:"go"`
	Scalar      string              `json:"scalar,omitempty"`
	GVK         [][3]string         `json:"gvk,omitempty"`
	TypeMeta    bool                `json:"typemeta,omitempty"`
	NoProto     bool                `json:"noproto,omitempty"`
	Lifecycle   *Lifecycle          `json:"lifecycle,omitempty"`
	MapType     string              `json:"mapType,omitempty"`
	Unions      json.RawMessage     `json:"unions,omitempty"`
	Enum        []string            `json:"enum,omitempty"`
	EnumMarkers map[string][]string `json:"enumMarkers,omitempty"`
	Markers     []string            `json:"markers,omitempty"`
	Fields      []*Field            `json:"fields,omitempty"`

	typ reflect.Type
}

// Lifecycle says since when a kind exists, and when it goes away in favour of what.
type Lifecycle struct {
	Introduced  []int    `json:"introduced,omitempty"`
	Deprecated  []int    `json:"deprecated,omitempty"`
	Removed     []int    `json:"removed,omitempty"`
	Replacement []string `json:"replacement,omitempty"`
}

// Field is a member of Type.Fields.
type Field struct {
	N        string          `json:"n"`
	Go       string          `json:"go"`
	T        string          `json:"t"`
	GT       string          `json:"gt,omitempty"`
	GE       string          `json:"ge,omitempty"`
	Alias    string          `json:"alias,omitempty"`
	EAlias   string          `json:"ealias,omitempty"`
	Ptr      bool            `json:"ptr,omitempty"`
	Omit     string          `json:"omit"`
	PB       int             `json:"pb,omitempty"`
	PBT      string          `json:"pbt,omitempty"`
	PBIn     []int           `json:"pbin,omitempty"`
	PBW      bool            `json:"pbw,omitempty"`
	Embed    string          `json:"embed,omitempty"`
	Required bool            `json:"required,omitempty"`
	Want     string          `json:"want,omitempty"`
	Nullable bool            `json:"nullable,omitempty"`
	Default  json.RawMessage `json:"default,omitempty"`
	Enum     []string        `json:"enum,omitempty"`
	Format   string          `json:"format,omitempty"`
	List     string          `json:"list,omitempty"`
	Keys     []string        `json:"keys,omitempty"`
	Map      string          `json:"map,omitempty"`
	Patch    string          `json:"patch,omitempty"`
	MergeKey string          `json:"mergeKey,omitempty"`
	Gates    []string        `json:"gates,omitempty"`
	Markers  []string        `json:"markers,omitempty"`
}

// special are the types whose JSON is not that of their Go fields.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                                             "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                                        "microtime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":                                         "duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                                         "fieldsv1",
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                                         "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":                                       "intorstring",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                                          "raw",
	"k8s.io/apimachinery/pkg/runtime.Unknown":                                               "raw",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":                         "json",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray":       "jsonschemaorarray",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool":        "jsonschemaorbool",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "jsonschemaorstrings",
}

// walker visits types from the roots and collects a Type for each.
type walker struct {
	seen    map[reflect.Type]*Type
	sources *sources
	openapi definitions
	queue   []reflect.Type
}

// collect is every reachable type, ordered by name.
func collect() []*Type {
	w := &walker{seen: map[reflect.Type]*Type{}, sources: newSources(), openapi: newDefinitions()}
	for _, root := range roots() {
		t := w.visit(root.typ)
		for _, gvk := range root.gvks {
			t.GVK = append(t.GVK, [3]string{gvk.Group, gvk.Version, gvk.Kind})
		}
		t.Lifecycle = lifecycle(root.typ)
	}
	for len(w.queue) > 0 {
		typ := w.queue[0]
		w.queue = w.queue[1:]
		w.fill(typ)
	}
	var all []*Type
	for _, t := range w.seen {
		if t.Scalar == "" || len(t.Enum) > 0 || len(t.Markers) > 0 || len(t.EnumMarkers) > 0 {
			all = append(all, t)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	for i := 1; i < len(all); i++ {
		if all[i].Name == all[i-1].Name {
			panic("two types are called " + all[i].Name)
		}
	}
	return all
}

// visit enters typ into the collection; its fields follow from the queue.
func (w *walker) visit(typ reflect.Type) *Type {
	if t := w.seen[typ]; t != nil {
		return t
	}
	t := &Type{Name: modelName(typ), Go: typ.String(), typ: typ}
	w.seen[typ] = t
	if typ.Kind() == reflect.Struct {
		w.queue = append(w.queue, typ)
	} else {
		t.Scalar = w.typeName(typ, true)
		w.fillScalar(t)
	}
	return t
}

// modelName is the name of typ in OpenAPI documents; types that are in none are named by the same rule.
func modelName(typ reflect.Type) string {
	if named, ok := reflect.New(typ).Interface().(interface{ OpenAPIModelName() string }); ok {
		// A type without a name of its own may have got this method from the TypeMeta it embeds.
		if name := named.OpenAPIModelName(); strings.HasSuffix(name, "."+typ.Name()) {
			return name
		}
	}
	domain, path, _ := strings.Cut(typ.PkgPath(), "/")
	parts := strings.Split(domain, ".")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(append(parts, strings.Split(path, "/")...), ".") + "." + typ.Name()
}

func (w *walker) fillScalar(t *Type) {
	src := w.sources.typeNamed(t.typ)
	t.Markers = src.k8s
	if src.has("enum") || hasMarker(src.k8s, "enum") {
		t.Enum, t.EnumMarkers = w.sources.enum(t.typ)
	}
}

func (w *walker) fill(typ reflect.Type) {
	t := w.seen[typ]
	src := w.sources.typeNamed(typ)
	t.Markers = src.k8s
	if _, message := reflect.New(typ).Interface().(interface{ Marshal() ([]byte, error) }); !message {
		t.NoProto = true
	}
	def, published := w.openapi.definition(t.Name)
	if published {
		t.MapType = def.extension("x-kubernetes-map-type")
		t.Unions = def.raw("x-kubernetes-unions")
	} else {
		t.MapType = src.value("structType")
	}
	w.addFields(t, typ, nil, "", def, published)
	numbered := len(t.Fields) == 0
	for _, f := range t.Fields {
		numbered = numbered || f.PB != 0
	}
	t.NoProto = t.NoProto || !numbered
}

// addFields appends the fields of typ to t; those of embedded structs stand where the struct stands.
func (w *walker) addFields(t *Type, typ reflect.Type, in []int, embed string, def definition, published bool) {
	for i := 0; i < typ.NumField(); i++ {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			if f.Type.Name() == "TypeMeta" {
				t.TypeMeta = true
				continue
			}
			if k8s := w.sources.fieldNamed(typ, f.Name).k8s; len(k8s) > 0 {
				panic(t.Name + "." + f.Name + ": no line can carry the markers of an embedded struct")
			}
			path := in
			if number, _ := protobuf(f); number != 0 {
				path = append(append([]int{}, in...), number)
			}
			// Errors name each struct on the way.
			name := f.Type.String()
			if embed != "" {
				name = embed + "." + f.Type.Name()
			}
			w.addFields(t, f.Type, path, name, def, published)
			continue
		}
		if name == "" {
			if !f.IsExported() || strings.Contains(options, "inline") {
				panic(t.Name + "." + f.Name + ": neither named nor an embedded struct")
			}
			name = f.Name
		}
		t.Fields = append(t.Fields, w.field(typ, f, name, options, in, embed, def, published))
	}
}

func (w *walker) field(in reflect.Type, f reflect.StructField, name, options string, path []int, embed string, def definition, published bool) *Field {
	src := w.sources.fieldNamed(in, f.Name)
	pb, pbt := protobuf(f)
	out := &Field{
		N: name, Go: f.Name, T: w.typeName(f.Type, false), Omit: omission(options), PB: pb, PBT: pbt, PBIn: path, Embed: embed,
		Ptr: f.Type.Kind() == reflect.Pointer, Patch: f.Tag.Get("patchStrategy"), MergeKey: f.Tag.Get("patchMergeKey"),
		Nullable: src.has("nullable"), Gates: src.values("featureGate"), Markers: src.k8s,
	}
	if strings.Contains(options, "string") {
		panic("json string option at " + in.String() + "." + f.Name)
	}
	w.nameGoTypes(out, f.Type)
	if src.has("optional") {
		out.Want = "optional"
	} else if src.has("required") {
		out.Want = "required"
	}
	if published {
		def.describe(out)
		if out.Alias != "" && out.Enum != nil {
			w.seen[deref(f.Type)].Enum = out.Enum // some of its constants may be made of another package's
		}
	} else {
		w.describeFromSource(out, src, f.Type)
	}
	return out
}

// describeFromSource reads out of markers what OpenAPI would say of a type that no document publishes.
func (w *walker) describeFromSource(f *Field, src comments, typ reflect.Type) {
	f.Required = !src.has("optional") && (src.has("required") || f.Omit == "never")
	f.List, f.Keys = first(src.value("listType"), markerValue(src.k8s, "listType")), src.values("listMapKey")
	for _, m := range src.k8s {
		if key, ok := strings.CutPrefix(m, "listMapKey="); ok && src.value("listType") == "" {
			f.Keys = append(f.Keys, key)
		}
	}
	f.Map = first(src.value("mapType"), src.value("structType"))
	if value := src.value("default"); value != "" && json.Valid([]byte(value)) {
		f.Default = json.RawMessage(value)
	}
	if base := deref(typ); base.Kind() == reflect.String && base.PkgPath() != "" {
		f.Enum = w.visit(base).Enum
	}
}

// nameGoTypes notes the Go names that decoding errors show, where they do not follow from f.T.
func (w *walker) nameGoTypes(f *Field, typ reflect.Type) {
	typ = deref(typ)
	if special[goName(typ)] != "" || typ.Kind() == reflect.Struct {
		return
	}
	named := func(typ reflect.Type) (name, alias string) {
		if typ.PkgPath() == "" || typ.Kind() == reflect.Struct || special[goName(typ)] != "" {
			return "", ""
		}
		t := w.visit(typ)
		if len(t.Enum) > 0 || len(t.Markers) > 0 || len(t.EnumMarkers) > 0 {
			alias = t.Name
		}
		return typ.String(), alias
	}
	f.GT, f.Alias = named(typ)
	f.PBW = wrapped(typ)
	if kind := typ.Kind(); kind == reflect.Slice || kind == reflect.Map {
		elem := deref(typ.Elem())
		f.GE, f.EAlias = named(elem)
		f.PBW = f.PBW || wrapped(elem)
		keyed := kind == reflect.Map && typ.Key().PkgPath() != ""
		if f.GT == "" && (f.GE != "" || keyed || typ.Elem().Kind() == reflect.Pointer) {
			f.GT = typ.String()
		}
	}
}

// wrapped tells the named string lists that protobuf writes as a message with the list as its field 1.
func wrapped(typ reflect.Type) bool {
	_, message := reflect.New(typ).Interface().(interface{ Marshal() ([]byte, error) })
	return message && typ.Kind() == reflect.Slice
}

// typeName is the type in the syntax of README.md; scalar asks for the form of a named type, not its name.
func (w *walker) typeName(typ reflect.Type, scalar bool) string {
	typ = deref(typ)
	if name := special[goName(typ)]; name != "" {
		return name
	}
	switch typ.Kind() {
	case reflect.Struct:
		return w.visit(typ).Name
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + w.typeName(typ.Elem(), false)
	case reflect.Map:
		if typ.Key().Kind() != reflect.String {
			panic("map with a key that is no string: " + typ.String())
		}
		return "map[string]" + w.typeName(typ.Elem(), false)
	case reflect.Interface:
		return "any"
	case reflect.Bool, reflect.String, reflect.Int32, reflect.Int64, reflect.Float64:
		return typ.Kind().String()
	case reflect.Int:
		return "int64"
	}
	return typ.Kind().String()
}

func deref(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return typ
}

// protobuf is the field's number and wire kind; number 0: it is not in protobuf.
func protobuf(f reflect.StructField) (int, string) {
	parts := strings.Split(f.Tag.Get("protobuf"), ",")
	if len(parts) < 2 {
		return 0, ""
	}
	number, err := strconv.Atoi(parts[1])
	if err != nil {
		panic(f.Name + ": " + err.Error())
	}
	return number, parts[0]
}

func omission(options string) string {
	empty, zero := false, false
	for _, option := range strings.Split(options, ",") {
		empty = empty || option == "omitempty"
		zero = zero || option == "omitzero"
	}
	switch {
	case empty && zero:
		return "both"
	case empty:
		return "empty"
	case zero:
		return "zero"
	}
	return "never"
}

func lifecycle(typ reflect.Type) *Lifecycle {
	l := &Lifecycle{}
	obj := reflect.New(typ).Interface()
	pair := func(major, minor int) []int { return []int{major, minor} }
	if o, ok := obj.(interface{ APILifecycleIntroduced() (int, int) }); ok {
		l.Introduced = pair(o.APILifecycleIntroduced())
	}
	if o, ok := obj.(interface{ APILifecycleDeprecated() (int, int) }); ok {
		l.Deprecated = pair(o.APILifecycleDeprecated())
	}
	if o, ok := obj.(interface{ APILifecycleRemoved() (int, int) }); ok {
		l.Removed = pair(o.APILifecycleRemoved())
	}
	if o, ok := obj.(interface {
		APILifecycleReplacement() schema.GroupVersionKind
	}); ok {
		gvk := o.APILifecycleReplacement()
		l.Replacement = []string{gvk.Group, gvk.Version, gvk.Kind}
	}
	if l.Introduced == nil && l.Deprecated == nil && l.Removed == nil {
		return nil
	}
	return l
}

func writeTypes(dir string, types []*Type) error {
	f := out.New(dir, "types.jsonl")
	f.Line(map[string]any{"source": out.Source("k8s.io/api", "k8s.io/apimachinery", "k8s.io/apiextensions-apiserver", "k8s.io/apiserver", "k8s.io/kube-aggregator", "k8s.io/kubernetes")})
	for _, t := range types {
		f.Line(t)
	}
	return f.Close()
}
