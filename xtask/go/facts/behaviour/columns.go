package main

import (
	"context"
	"reflect"
	"sort"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	crdregistry "k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition/tableconvertor"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/rest"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-aggregator/pkg/apis/apiregistration"
	apiservicestore "k8s.io/kube-aggregator/pkg/registry/apiservice/etcd"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	printers "k8s.io/kubernetes/pkg/printers/internalversion"

	"skiff/facts/out"
)

// Column is a column of a table; Doc names the field whose description the column's is, and Text is the description of one
// that is no field's, or of a version that is not published everywhere.
type Column struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Format   string   `json:"format,omitempty"`
	Priority int32    `json:"priority,omitempty"`
	Doc      []string `json:"doc,omitempty"`
	Text     string   `json:"text,omitempty"`
}

// Table is the columns of a kind.
type Table struct {
	Group   string   `json:"group"`
	Kind    string   `json:"kind"`
	Columns []Column `json:"columns"`
}

// recorder is a printers.PrintHandler that keeps what it is told.
type recorder struct {
	tables map[schema.GroupKind][]metav1.TableColumnDefinition
}

func (r *recorder) TableHandler(columns []metav1.TableColumnDefinition, print interface{}) error {
	object := reflect.New(reflect.TypeOf(print).In(0).Elem()).Interface().(runtime.Object)
	kinds, _, err := legacyscheme.Scheme.ObjectKinds(object)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if kind.Version == runtime.APIVersionInternal || kind.Group == "meta.k8s.io" {
			r.tables[kind.GroupKind()] = columns
		}
	}
	return nil
}

func writeColumns(dir string) error {
	r := &recorder{tables: map[schema.GroupKind][]metav1.TableColumnDefinition{}}
	printers.AddHandlers(r)
	special := func(group, kind string, convertor rest.TableConvertor, object runtime.Object) {
		table, err := convertor.ConvertToTable(context.Background(), object, nil)
		out.Must(err)
		r.tables[schema.GroupKind{Group: group, Kind: kind}] = table.ColumnDefinitions
	}
	special(apiregistration.GroupName, "APIService", &apiservicestore.REST{}, &apiregistration.APIService{})
	special(apiextensions.GroupName, "CustomResourceDefinition", crdregistry.New(), &apiextensions.CustomResourceDefinition{})
	special("", "", rest.NewDefaultTableConvertor(schema.GroupResource{}), &metav1.PartialObjectMetadata{})

	var kinds []schema.GroupKind
	for kind, columns := range r.tables {
		item, ok := r.tables[schema.GroupKind{Group: kind.Group, Kind: strings.TrimSuffix(kind.Kind, "List")}]
		if strings.HasSuffix(kind.Kind, "List") && ok && reflect.DeepEqual(item, columns) {
			continue
		}
		kinds = append(kinds, kind)
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	var all []Table
	for _, kind := range kinds {
		table := Table{Group: kind.Group, Kind: kind.Kind}
		for _, c := range r.tables[kind] {
			column := Column{c.Name, c.Type, c.Format, c.Priority, docOf(kind, c.Description), ""}
			if column.Doc == nil || !strings.Contains(column.Doc[0], ".v1.") {
				column.Text = c.Description
			}
			table.Columns = append(table.Columns, column)
		}
		all = append(all, table)
	}
	f := out.New(dir, "columns.json")
	f.Text("{")
	f.Text(` "source": ` + out.JSON(out.Source("k8s.io/kubernetes", "k8s.io/apiserver", "k8s.io/kube-aggregator", "k8s.io/apiextensions-apiserver")) + ",")
	f.Array("kinds", lines(all), true)
	f.Text("}")
	return f.Close()
}

// docOf finds the field of kind's types, ObjectMeta's first, whose description is text.
func docOf(kind schema.GroupKind, text string) []string {
	types := []reflect.Type{reflect.TypeOf(metav1.ObjectMeta{})}
	for _, version := range clientscheme.Scheme.PrioritizedVersionsForGroup(kind.Group) {
		if !publishedVersions()[version] {
			continue // descriptions are only to be had of types in published documents
		}
		if typ := clientscheme.Scheme.KnownTypes(version)[kind.Kind]; typ != nil {
			types = reach(typ, types)
		}
	}
	for _, typ := range types {
		documented, ok := reflect.New(typ).Interface().(interface{ SwaggerDoc() map[string]string })
		if !ok {
			continue
		}
		docs := documented.SwaggerDoc()
		var names []string
		for name := range docs {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			if name != "" && text != "" && docs[name] == text {
				return []string{modelName(typ), name}
			}
		}
	}
	return nil
}

// reach appends typ and the structs it holds, breadth first.
func reach(typ reflect.Type, types []reflect.Type) []reflect.Type {
	queue := []reflect.Type{typ}
	seen := map[reflect.Type]bool{}
	for len(queue) > 0 {
		typ := queue[0]
		queue = queue[1:]
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			continue
		}
		seen[typ] = true
		types = append(types, typ)
		for i := 0; i < typ.NumField(); i++ {
			queue = append(queue, typ.Field(i).Type)
		}
	}
	return types
}

func modelName(typ reflect.Type) string {
	if named, ok := reflect.New(typ).Interface().(interface{ OpenAPIModelName() string }); ok {
		return named.OpenAPIModelName()
	}
	return typ.String()
}
