package main

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"

	"skiff/facts/out"
)

// What a family of these options is.
var kinds = map[string]string{
	"CounterOpts":         "counter",
	"GaugeOpts":           "gauge",
	"HistogramOpts":       "histogram",
	"TimingHistogramOpts": "histogram",
	"SummaryOpts":         "summary",
}

// metrics is the families that a package declares.
func (p *Package) metrics() []Metric {
	var all []Metric
	for _, file := range p.files {
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok || !strings.HasPrefix(called(call), "New") || len(call.Args) == 0 {
				return true
			}
			metric, err := p.metric(call, file)
			if err != nil {
				out.Must(fmt.Errorf("%s: %w", called(call), err))
			}
			if metric != nil {
				slices.Sort(metric.Labels)
				all = append(all, *metric)
			}
			return true
		})
	}
	return all
}

// metric is the family that a call makes; nothing where it makes none.
func (p *Package) metric(call *ast.CallExpr, file *ast.File) (*Metric, error) {
	if _, isList := call.Args[min(2, len(call.Args)-1)].(*ast.CompositeLit); called(call) == "NewDesc" && isList {
		return p.described(call, file)
	}
	options, kind := options(call.Args[0])
	if options == nil {
		return nil, nil
	}
	metric := &Metric{Type: kind, Stability: "ALPHA", Labels: []string{}}
	parts := map[string]string{}
	for _, element := range options.Elts {
		pair := element.(*ast.KeyValueExpr)
		switch key := pair.Key.(*ast.Ident).Name; key {
		case "Namespace", "Subsystem", "Name", "DeprecatedVersion":
			text, err := p.text(pair.Value, file)
			if err != nil {
				return nil, err
			}
			parts[key] = text
		case "StabilityLevel":
			metric.Stability = last(pair.Value)
		case "ConstLabels":
			for _, label := range pair.Value.(*ast.CompositeLit).Elts {
				name, err := p.text(label.(*ast.KeyValueExpr).Key, file)
				if err != nil {
					return nil, err
				}
				metric.Labels = append(metric.Labels, name)
			}
		}
	}
	metric.Name = joined(parts["Namespace"], parts["Subsystem"], parts["Name"])
	if isHidden(metric.Stability, parts["DeprecatedVersion"]) {
		return nil, nil
	}
	if !strings.Contains(called(call), "Vec") {
		return metric, nil
	}
	labels, err := p.labels(call.Args[1:], file)
	metric.Labels = append(metric.Labels, labels...)
	return metric, err
}

// labels is those of a vector: one list, or one argument each.
func (p *Package) labels(arguments []ast.Expr, file *ast.File) ([]string, error) {
	if len(arguments) == 1 {
		if labels, err := p.texts(arguments[0], file); err == nil {
			return labels, nil
		}
	}
	var all []string
	for _, argument := range arguments {
		label, err := p.text(argument, file)
		if err != nil {
			return nil, err
		}
		all = append(all, label)
	}
	return all, nil
}

// described is a family whose numbers are made when somebody asks: name, help, labels, constant labels, stability.
func (p *Package) described(call *ast.CallExpr, file *ast.File) (*Metric, error) {
	name, err := p.text(call.Args[0], file)
	if err != nil {
		return nil, err
	}
	labels, err := p.texts(call.Args[2], file)
	if err != nil {
		return nil, err
	}
	return &Metric{name, "gauge", last(call.Args[4]), labels}, nil
}

// isHidden tells whether a family that is deprecated since a version (1.34.0) is served no more, unless somebody asks for
// it by a flag. Upstream: component-base/metrics/registry.go shouldHide.
func isHidden(stability, since string) bool {
	var major, minor, here int
	if _, err := fmt.Sscanf(since, "%d.%d", &major, &minor); err != nil {
		return false
	}
	_, err := fmt.Sscanf(strings.Fields(out.Source("k8s.io/kubernetes")[0])[1], "v1.%d", &here)
	out.Must(err)
	served := map[string]int{"STABLE": 3, "BETA": 1}
	return minor+served[stability] <= here
}

// options is the literal of a family's options, and what they make.
func options(argument ast.Expr) (*ast.CompositeLit, string) {
	if pointer, ok := argument.(*ast.UnaryExpr); ok {
		argument = pointer.X
	}
	literal, ok := argument.(*ast.CompositeLit)
	if !ok || len(literal.Elts) == 0 {
		return nil, ""
	}
	kind, ok := kinds[last(literal.Type)]
	if !ok {
		return nil, ""
	}
	return literal, kind
}

// last is the last word of a name.
func last(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
