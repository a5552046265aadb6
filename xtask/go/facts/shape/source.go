package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// sources reads what only the Go sources say: the `+marker` lines above types, fields and constants.
type sources struct {
	packages map[string]*source
}

// source is one parsed package.
type source struct {
	types  map[string]comments
	fields map[string]comments // by Type.Field
	consts map[string][]constant
}

type constant struct {
	value   string
	markers []string
}

// comments are the marker lines of one declaration: +k8s: ones verbatim, others by name.
type comments struct {
	k8s    []string
	others []string
}

// generators are the +k8s: lines that drive code generators and say nothing about the API.
var generators = []string{
	"deepcopy-gen", "conversion-gen", "defaulter-gen", "openapi-gen", "openapi-model-package", "protobuf-gen", "prerelease-lifecycle-gen", "validation-gen", "conversion-fn", "register-gen",
}

func newSources() *sources { return &sources{packages: map[string]*source{}} }

func (s *sources) of(pkg string) *source {
	if p := s.packages[pkg]; p != nil {
		return p
	}
	p := &source{types: map[string]comments{}, fields: map[string]comments{}, consts: map[string][]constant{}}
	s.packages[pkg] = p
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
	if err != nil {
		panic(fmt.Errorf("go list %s: %w", pkg, err))
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "*.go"))
	if err != nil {
		panic(err)
	}
	sort.Strings(files)
	for _, file := range files {
		base := filepath.Base(file)
		if strings.HasSuffix(base, "_test.go") || strings.HasPrefix(base, "zz_generated") || strings.Contains(base, "generated.") {
			continue
		}
		p.parse(file)
	}
	return p
}

func (p *source) parse(path string) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, nil, parser.ParseComments)
	if err != nil {
		panic(err)
	}
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range gen.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				doc := spec.Doc
				if doc == nil {
					doc = gen.Doc
				}
				p.addType(set, file, spec, doc)
			case *ast.ValueSpec:
				p.addConstant(gen, spec)
			}
		}
	}
}

func (p *source) addType(set *token.FileSet, file *ast.File, spec *ast.TypeSpec, doc *ast.CommentGroup) {
	markers := read(doc)
	// Generators also read the comment that stands one blank line above the doc comment.
	at := set.Position(spec.Pos()).Line
	if doc != nil {
		at = set.Position(doc.Pos()).Line
	}
	for _, group := range file.Comments {
		if set.Position(group.End()).Line == at-2 {
			above := read(group)
			markers.k8s = append(above.k8s, markers.k8s...)
			markers.others = append(above.others, markers.others...)
		}
	}
	p.types[spec.Name.Name] = markers
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, field := range structure.Fields.List {
		for _, name := range field.Names {
			p.fields[spec.Name.Name+"."+name.Name] = read(field.Doc)
		}
		if len(field.Names) == 0 {
			p.fields[spec.Name.Name+"."+embedded(field.Type)] = read(field.Doc)
		}
	}
}

// embedded is the name that an embedded field has by its type.
func embedded(typ ast.Expr) string {
	switch typ := typ.(type) {
	case *ast.Ident:
		return typ.Name
	case *ast.SelectorExpr:
		return typ.Sel.Name
	case *ast.StarExpr:
		return embedded(typ.X)
	}
	panic(fmt.Sprintf("embedded field of a form that is not known: %T", typ))
}

func (p *source) addConstant(gen *ast.GenDecl, spec *ast.ValueSpec) {
	for i, value := range spec.Values {
		typ, named := spec.Type.(*ast.Ident)
		if call, ok := value.(*ast.CallExpr); ok && spec.Type == nil && len(call.Args) == 1 {
			typ, named = call.Fun.(*ast.Ident)
			value = call.Args[0]
		}
		literal, ok := value.(*ast.BasicLit)
		if gen.Tok != token.CONST || !named || !ok || literal.Kind != token.STRING || i >= len(spec.Names) {
			continue
		}
		text, err := strconv.Unquote(literal.Value)
		if err != nil {
			panic(err)
		}
		doc := spec.Doc
		if doc == nil && len(gen.Specs) == 1 {
			doc = gen.Doc
		}
		p.consts[typ.Name] = append(p.consts[typ.Name], constant{text, read(doc).k8s})
	}
}

// read splits a comment into its markers.
func read(doc *ast.CommentGroup) comments {
	var c comments
	if doc == nil {
		return c
	}
	for _, comment := range doc.List {
		text := strings.TrimPrefix(comment.Text, "//")
		text, ok := strings.CutPrefix(strings.TrimSpace(text), "+")
		if !ok {
			continue
		}
		k8s, ok := strings.CutPrefix(text, "k8s:")
		if !ok {
			c.others = append(c.others, text)
		} else if !generator(k8s) {
			c.k8s = append(c.k8s, k8s)
		}
	}
	return c
}

func generator(marker string) bool {
	for _, name := range generators {
		if strings.HasPrefix(marker, name) {
			return true
		}
	}
	return false
}

func (s *sources) typeNamed(typ reflect.Type) comments { return s.of(typ.PkgPath()).types[typ.Name()] }

func (s *sources) fieldNamed(typ reflect.Type, field string) comments {
	return s.of(typ.PkgPath()).fields[typ.Name()+"."+field]
}

// enum is the sorted values of the constants of typ, with the markers of those that have any.
func (s *sources) enum(typ reflect.Type) ([]string, map[string][]string) {
	var values []string
	markers := map[string][]string{}
	for _, c := range s.of(typ.PkgPath()).consts[typ.Name()] {
		values = append(values, c.value)
		if len(c.markers) > 0 {
			markers[c.value] = c.markers
		}
	}
	sort.Strings(values)
	return values, markers
}

// has tells whether the marker name, with or without a value, is there.
func (c comments) has(name string) bool {
	for _, marker := range c.others {
		if marker == name || strings.HasPrefix(marker, name+"=") {
			return true
		}
	}
	return false
}

func (c comments) values(name string) []string {
	var values []string
	for _, marker := range c.others {
		if value, ok := strings.CutPrefix(marker, name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

func (c comments) value(name string) string { return first(c.values(name)...) }

func hasMarker(markers []string, name string) bool {
	for _, marker := range markers {
		if marker == name || strings.HasPrefix(marker, name+"=") || strings.HasPrefix(marker, name+"(") {
			return true
		}
	}
	return false
}

func markerValue(markers []string, name string) string {
	for _, marker := range markers {
		if value, ok := strings.CutPrefix(marker, name+"="); ok {
			return value
		}
	}
	return ""
}

func first(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
