// Which refusals upstream's source knows of: for each kind the fields and error types that its validation can name.
//
// Functions are walked from each strategy's Validate and ValidateUpdate and from each declared type, with the paths that
// are handed on; every constructor of a field error on the way is one. What is called through tables and interfaces is
// not found, so that the number is a lower bound.
//
//	go run refusals.go MODULE_CACHE KUBERNETES_VERSION STAGING_VERSION
//
// prints a line `group<TAB>kind<TAB>field<TAB>type` each, sorted; a kind is in lower case.
package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Error constructors and the types of the causes that they make.
var causes = map[string]string{
	"Invalid": "FieldValueInvalid", "Required": "FieldValueRequired", "Duplicate": "FieldValueDuplicate",
	"NotSupported": "FieldValueNotSupported", "Forbidden": "FieldValueForbidden", "NotFound": "FieldValueNotFound",
	"TooLong": "FieldValueTooLong", "TooLongMaxLength": "FieldValueTooLong", "TooLongCharacters": "FieldValueTooLong",
	"TooMany": "FieldValueTooMany", "TooFew": "FieldValueTooFew", "TooShort": "FieldValueTooShort",
	"TypeInvalid": "FieldValueTypeInvalid", "InternalError": "InternalError",
}

// Directories of strategies that are not called as their kind is.
var renamed = map[string]string{
	"certificates/certificates": "certificatesigningrequest", "core/endpoint": "endpoints",
	"storagemigration/storagemigration": "storageversionmigration",
}

// What calls itself is followed so often.
const depthMax, pathLenMax, activeMax = 40, 160, 2

type function struct {
	of   *pkg
	file *ast.File
	decl *ast.FuncDecl
}

type pkg struct {
	path      string
	functions map[string]*function
	methods   map[string][]*function
	imports   map[*ast.File]map[string]string
}

type world struct {
	cache, kubernetes, staging string
	packages                   map[string]*pkg
	set                        *token.FileSet
	found                      map[[2]string]bool
	seen                       map[string]bool
	active                     map[*ast.FuncDecl]int
}

// What names stand for where a walk is: paths, and functions in variables.
type scope struct {
	in    *function
	paths map[string][]string
}

func main() {
	w := &world{cache: os.Args[1], kubernetes: os.Args[2], staging: os.Args[3], packages: map[string]*pkg{}, set: token.NewFileSet(), active: map[*ast.FuncDecl]int{}}
	lines := map[string]bool{}
	note := func(group, kind string) {
		for refusal := range w.found {
			lines[strings.Join([]string{group, kind, refusal[0], refusal[1]}, "\t")] = true
		}
	}
	strategies, _ := filepath.Glob(filepath.Join(w.directory("k8s.io/kubernetes/pkg/registry"), "*", "*"))
	roots := []string{"k8s.io/apiextensions-apiserver/pkg/registry/customresourcedefinition", "k8s.io/kube-aggregator/pkg/registry/apiservice"}
	for _, directory := range strategies {
		relative, _ := filepath.Rel(w.directory("k8s.io/kubernetes/pkg/registry"), directory)
		roots = append(roots, "k8s.io/kubernetes/pkg/registry/"+filepath.ToSlash(relative))
	}
	for _, root := range roots {
		p := w.load(root)
		if p == nil {
			continue
		}
		w.found, w.seen = map[[2]string]bool{}, map[string]bool{}
		for _, name := range []string{"Validate", "ValidateUpdate"} {
			for _, method := range p.methods[name] {
				w.visit(method, nil, 0)
			}
		}
		if len(w.found) == 0 {
			continue
		}
		w.metadata()
		note(named(root))
	}
	declared, _ := filepath.Glob(filepath.Join(w.directory("k8s.io/kubernetes/pkg/apis"), "*", "*", "zz_generated.validations.go"))
	for _, file := range declared {
		relative, _ := filepath.Rel(w.directory("k8s.io/kubernetes/pkg/apis"), filepath.Dir(file))
		p := w.load("k8s.io/kubernetes/pkg/apis/" + filepath.ToSlash(relative))
		for name, f := range p.functions {
			if kind, ok := strings.CutPrefix(name, "Validate_"); ok {
				w.found, w.seen = map[[2]string]bool{}, map[string]bool{}
				w.visit(f, map[string][]string{"fldPath": {""}}, 0)
				note(strings.Split(filepath.ToSlash(relative), "/")[0], strings.ToLower(kind))
			}
		}
	}
	sorted := make([]string, 0, len(lines))
	for line := range lines {
		sorted = append(sorted, line)
	}
	sort.Strings(sorted)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, line := range sorted {
		fmt.Fprintln(out, line)
	}
}

// What every strategy's objects are asked before and beside it.
func (w *world) metadata() {
	p := w.load("k8s.io/apimachinery/pkg/api/validation")
	for _, name := range []string{"ValidateObjectMetaAccessor", "ValidateObjectMetaAccessorUpdate"} {
		if f := p.functions[name]; f != nil {
			w.visit(f, map[string][]string{"fldPath": {"metadata"}}, 0)
		}
	}
}

func named(root string) (string, string) {
	switch {
	case strings.HasSuffix(root, "customresourcedefinition"):
		return "apiextensions", "customresourcedefinition"
	case strings.HasSuffix(root, "apiservice"):
		return "apiregistration", "apiservice"
	}
	parts := strings.Split(root, "/")
	group, kind := parts[len(parts)-2], parts[len(parts)-1]
	if other, ok := renamed[group+"/"+kind]; ok {
		kind = other
	}
	return group, kind
}

func (w *world) directory(path string) string {
	parts := strings.SplitN(path, "/", 3)
	module, rest := strings.Join(parts[:2], "/"), ""
	if len(parts) > 2 {
		rest = parts[2]
	}
	version := w.staging
	if module == "k8s.io/kubernetes" {
		version = w.kubernetes
	}
	return filepath.Join(w.cache, module+"@"+version, rest)
}

// A package's functions; nil for what is not upstream's.
func (w *world) load(path string) *pkg {
	if p, ok := w.packages[path]; ok {
		return p
	}
	w.packages[path] = nil
	if !strings.HasPrefix(path, "k8s.io/") {
		return nil
	}
	files, _ := filepath.Glob(filepath.Join(w.directory(path), "*.go"))
	p := &pkg{path: path, functions: map[string]*function{}, methods: map[string][]*function{}, imports: map[*ast.File]map[string]string{}}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(w.set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			continue
		}
		imports := map[string]string{}
		for _, spec := range file.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			alias := target[strings.LastIndex(target, "/")+1:]
			if spec.Name != nil {
				alias = spec.Name.Name
			}
			imports[alias] = target
		}
		p.imports[file] = imports
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
				if f.Recv == nil {
					p.functions[f.Name.Name] = &function{p, file, f}
				} else {
					p.methods[f.Name.Name] = append(p.methods[f.Name.Name], &function{p, file, f})
				}
			}
		}
	}
	if len(files) > 0 {
		w.packages[path] = p
	}
	return w.packages[path]
}

// Walks a function for each path by itself: sets of paths would be as many as there are combinations.
func (w *world) visitEach(f *function, paths map[string][]string, depth int) {
	most := 1
	for _, values := range paths {
		most = max(most, len(values))
	}
	for i := range most {
		one := map[string][]string{}
		for name, values := range paths {
			if len(values) > 0 {
				one[name] = values[min(i, len(values)-1):][:1]
			}
		}
		w.visit(f, one, depth)
	}
}

// Walks a function with what its parameters stand for, once.
func (w *world) visit(f *function, paths map[string][]string, depth int) {
	keys := make([]string, 0, len(paths))
	for name, values := range paths {
		keys = append(keys, name+"="+strings.Join(values, ","))
	}
	sort.Strings(keys)
	key := f.of.path + " " + f.decl.Name.Name + " " + strconv.Itoa(int(f.decl.Pos())) + " " + strings.Join(keys, ";")
	if depth > depthMax || w.seen[key] || w.active[f.decl] >= activeMax {
		return
	}
	w.seen[key] = true
	w.active[f.decl]++
	defer func() { w.active[f.decl]-- }()
	own := map[string][]string{}
	for name, values := range paths {
		own[name] = values
	}
	w.walk(f.decl.Body, &scope{f, own}, depth)
}

func (w *world) walk(node ast.Node, s *scope, depth int) {
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if name, ok := left.(*ast.Ident); ok && len(n.Lhs) == len(n.Rhs) {
					if values := w.path(n.Rhs[i], s); values != nil {
						s.paths[name.Name] = union(s.paths[name.Name], values)
					}
				}
			}
		case *ast.CallExpr:
			w.call(n, s, depth)
			// Literals have been walked by the call, with what their parameters stand for.
			for _, part := range append([]ast.Expr{n.Fun}, n.Args...) {
				if _, ok := part.(*ast.FuncLit); !ok {
					w.walk(part, s, depth)
				}
			}
			return false
		}
		return true
	})
}

func (w *world) call(n *ast.CallExpr, s *scope, depth int) {
	if literal, ok := n.Fun.(*ast.FuncLit); ok {
		w.walk(literal.Body, s.with(literal.Type, w.arguments(n, s)), depth+1)
		return
	}
	if selector, ok := unwrapped(n.Fun).(*ast.SelectorExpr); ok {
		if base, ok := selector.X.(*ast.Ident); ok && base.Name == "field" && causes[selector.Sel.Name] != "" && len(n.Args) > 0 {
			for _, path := range w.path(n.Args[0], s) {
				w.found[[2]string{path, causes[selector.Sel.Name]}] = true
			}
			return
		}
	}
	arguments := w.arguments(n, s)
	for _, f := range w.resolve(n.Fun, s) {
		w.visitEach(f, bound(f.decl.Type, arguments), depth+1)
	}
	// A function that is handed over is called for each element, or for the member that a literal beside it names.
	var below []string
	for _, values := range arguments {
		for _, value := range values {
			below = append(below, value+"[*]")
		}
	}
	for i, argument := range n.Args {
		if literal, ok := argument.(*ast.BasicLit); ok && literal.Kind == token.STRING && i > 0 {
			name, _ := strconv.Unquote(literal.Value)
			if selector, ok := unwrapped(n.Fun).(*ast.SelectorExpr); ok && selector.Sel.Name == "Subfield" {
				below = nil
				for _, values := range arguments {
					for _, value := range values {
						below = append(below, joined(value, name))
					}
				}
			}
		}
	}
	for _, argument := range n.Args {
		switch argument := argument.(type) {
		case *ast.FuncLit:
			inner := s.with(argument.Type, nil)
			for _, name := range pathNames(argument.Type) {
				inner.paths[name] = below
			}
			w.walk(argument.Body, inner, depth+1)
		case *ast.Ident, *ast.SelectorExpr:
			for _, f := range w.resolve(argument, s) {
				handed := map[string][]string{}
				for _, name := range pathNames(f.decl.Type) {
					handed[name] = below
				}
				if len(handed) > 0 && len(below) > 0 {
					w.visitEach(f, handed, depth+1)
				}
			}
		}
	}
}

// The paths among the arguments of a call, by their place.
func (w *world) arguments(n *ast.CallExpr, s *scope) map[int][]string {
	out := map[int][]string{}
	for i, argument := range n.Args {
		if values := w.path(argument, s); values != nil {
			out[i] = values
		}
	}
	return out
}

func unwrapped(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.IndexExpr:
		return e.X
	case *ast.IndexListExpr:
		return e.X
	case *ast.ParenExpr:
		return e.X
	}
	return e
}

// The functions that a name may stand for.
func (w *world) resolve(e ast.Expr, s *scope) []*function {
	switch e := unwrapped(e).(type) {
	case *ast.Ident:
		if f := s.in.of.functions[e.Name]; f != nil {
			return []*function{f}
		}
	case *ast.SelectorExpr:
		base, ok := e.X.(*ast.Ident)
		if !ok {
			return nil
		}
		if target, ok := s.in.of.imports[s.in.file][base.Name]; ok {
			if p := w.load(target); p != nil {
				if f := p.functions[e.Sel.Name]; f != nil {
					return []*function{f}
				}
			}
			return nil
		}
		if methods := s.in.of.methods[e.Sel.Name]; len(methods) <= 2 {
			return methods
		}
	}
	return nil
}

// What an expression stands for, when it is a path.
func (w *world) path(e ast.Expr, s *scope) []string {
	switch e := e.(type) {
	case *ast.Ident:
		return s.paths[e.Name]
	case *ast.CallExpr:
		selector, ok := e.Fun.(*ast.SelectorExpr)
		if !ok {
			return nil
		}
		if base, ok := selector.X.(*ast.Ident); ok && base.Name == "field" && selector.Sel.Name == "NewPath" {
			return []string{literals("", e.Args)}
		}
		before := w.path(selector.X, s)
		if before == nil {
			return nil
		}
		out := make([]string, 0, len(before))
		for _, path := range before {
			switch selector.Sel.Name {
			case "Child":
				path = literals(path, e.Args)
			case "Index", "Key":
				path += "[*]"
			default:
				return nil
			}
			if len(path) < pathLenMax {
				out = append(out, path)
			}
		}
		return out
	}
	return nil
}

func literals(path string, arguments []ast.Expr) string {
	for _, argument := range arguments {
		name := "?"
		if literal, ok := argument.(*ast.BasicLit); ok {
			name, _ = strconv.Unquote(literal.Value)
		}
		path = joined(path, name)
	}
	return path
}

func joined(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func union(a, b []string) []string {
	out := append([]string{}, b...)
	for _, value := range a {
		known := false
		for _, other := range b {
			known = known || other == value
		}
		if !known {
			out = append(out, value)
		}
	}
	sort.Strings(out)
	return out
}

func isPath(e ast.Expr) bool {
	star, ok := e.(*ast.StarExpr)
	if !ok {
		return false
	}
	selector, ok := star.X.(*ast.SelectorExpr)
	return ok && selector.Sel.Name == "Path"
}

func pathNames(of *ast.FuncType) []string {
	var out []string
	for _, field := range of.Params.List {
		if isPath(field.Type) {
			for _, name := range field.Names {
				out = append(out, name.Name)
			}
		}
	}
	return out
}

func bound(of *ast.FuncType, arguments map[int][]string) map[string][]string {
	out, place := map[string][]string{}, 0
	for _, field := range of.Params.List {
		for _, name := range field.Names {
			if values, ok := arguments[place]; ok && isPath(field.Type) {
				out[name.Name] = values
			} else if isPath(field.Type) {
				out[name.Name] = []string{""}
			}
			place++
		}
	}
	return out
}

func (s *scope) with(of *ast.FuncType, arguments map[int][]string) *scope {
	paths := map[string][]string{}
	for name, values := range s.paths {
		paths[name] = values
	}
	for name, values := range bound(of, arguments) {
		paths[name] = values
	}
	return &scope{s.in, paths}
}
