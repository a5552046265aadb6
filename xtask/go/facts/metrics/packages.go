package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"skiff/facts/out"
)

// The program whose families are wanted.
const program = "k8s.io/kubernetes/cmd/kube-apiserver"

// Packages that the program is linked from, but in whose families only other programs count. The last names its own when
// somebody else asks for them.
var elsewhere = map[string]bool{
	"k8s.io/component-base/metrics/prometheus/clientgo/leaderelection":           true,
	"k8s.io/endpointslice/metrics":                                               true,
	"k8s.io/kubernetes/pkg/controller/endpointslicemirroring/metrics":            true,
	"k8s.io/kubernetes/pkg/kubelet/server/metrics":                               true,
	"k8s.io/kubernetes/pkg/volume/util":                                          true,
	"sigs.k8s.io/apiserver-network-proxy/konnectivity-client/pkg/common/metrics": true,
}

// Package is a package's syntax: its files, and what its names stand for.
type Package struct {
	path   string
	files  []*ast.File
	values map[string]value
}

// value is an expression, and the file whose imports it is to be read by.
type value struct {
	expr ast.Expr
	file *ast.File
}

var packages = map[string]*Package{}
var folders = map[string]listed{}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	Standard        bool
}

// linked is the packages of Kubernetes that the program is linked from.
func linked() []*Package {
	// -e: what only its command line needs is not among our modules.
	text, err := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,GoFiles,Standard", program).Output()
	out.Must(err)
	var all []*Package
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var one listed
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			break
		}
		out.Must(err)
		if one.Standard || !strings.Contains(one.ImportPath, "k8s.io/") {
			continue
		}
		folders[one.ImportPath] = one
		if !elsewhere[one.ImportPath] {
			all = append(all, load(one.ImportPath))
		}
	}
	return all
}

// load reads a package's syntax; nothing where it is none of those that are linked.
func load(name string) *Package {
	if found, ok := packages[name]; ok {
		return found
	}
	folder, ok := folders[name]
	if !ok {
		return nil
	}
	pkg := &Package{path: name, values: map[string]value{}}
	packages[name] = pkg
	for _, file := range folder.GoFiles {
		syntax, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder.Dir, file), nil, parser.SkipObjectResolution)
		out.Must(err)
		pkg.files = append(pkg.files, syntax)
		ast.Inspect(syntax, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok && len(spec.Names) == len(spec.Values) {
				for i, name := range spec.Names {
					pkg.values[name.Name] = value{spec.Values[i], syntax}
				}
			}
			return true
		})
	}
	return pkg
}

// imported is the package that a file calls so.
func imported(file *ast.File, name string) *Package {
	for _, spec := range file.Imports {
		full, _ := strconv.Unquote(spec.Path.Value)
		if spec.Name != nil && spec.Name.Name == name || spec.Name == nil && path.Base(full) == name {
			return load(full)
		}
	}
	return nil
}

// text is what a constant expression of strings comes to.
func (p *Package) text(expr ast.Expr, file *ast.File) (string, error) {
	switch e := expr.(type) {
	case nil:
		return "", nil
	case *ast.BasicLit:
		return strconv.Unquote(e.Value)
	case *ast.ParenExpr:
		return p.text(e.X, file)
	case *ast.BinaryExpr:
		left, err := p.text(e.X, file)
		if err != nil {
			return "", err
		}
		right, err := p.text(e.Y, file)
		return left + right, err
	case *ast.Ident:
		if found, ok := p.values[e.Name]; ok {
			return p.text(found.expr, found.file)
		}
	case *ast.SelectorExpr:
		if of, ok := e.X.(*ast.Ident); ok {
			if other := imported(file, of.Name); other != nil {
				return other.text(e.Sel, file)
			}
		}
	case *ast.CallExpr:
		if called(e) == "BuildFQName" {
			var parts []string
			for _, argument := range e.Args {
				part, err := p.text(argument, file)
				if err != nil {
					return "", err
				}
				parts = append(parts, part)
			}
			return joined(parts...), nil
		}
	}
	return "", fmt.Errorf("%s: no constant text: %T %v", p.path, expr, expr)
}

// texts is what a literal list of strings holds.
func (p *Package) texts(expr ast.Expr, file *ast.File) ([]string, error) {
	switch e := expr.(type) {
	case *ast.CompositeLit:
		all := []string{}
		for _, element := range e.Elts {
			one, err := p.text(element, file)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		return all, nil
	case *ast.Ident:
		if e.Name == "nil" {
			return []string{}, nil
		}
		if found, ok := p.values[e.Name]; ok {
			return p.texts(found.expr, found.file)
		}
	}
	return nil, fmt.Errorf("%s: no literal list: %T", p.path, expr)
}

// called is the last word of what is called.
func called(call *ast.CallExpr) string {
	switch function := call.Fun.(type) {
	case *ast.Ident:
		return function.Name
	case *ast.SelectorExpr:
		return function.Sel.Name
	}
	return ""
}

// joined is the name that Prometheus makes of its parts.
func joined(parts ...string) string {
	var said []string
	for _, part := range parts {
		if part != "" {
			said = append(said, part)
		}
	}
	return strings.Join(said, "_")
}
