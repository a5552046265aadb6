// Command metrics writes what upstream's kube-apiserver counts: metrics.json. Usage: metrics OUT_DIR
//
// The families are read out of the sources of the packages that the program is linked from, as upstream's own check of
// stability does: a family that nothing was counted in shows nowhere at run time.
package main

import (
	"cmp"
	"fmt"
	"os"
	"slices"

	"skiff/facts/out"
)

// Metric is a family of numbers: what an operator can rely on. Deprecated ones that are hidden by now are left out.
type Metric struct {
	Name string `json:"name"`
	// counter, gauge, histogram, summary
	Type string `json:"type"`
	// STABLE, BETA, ALPHA
	Stability string   `json:"stability"`
	Labels    []string `json:"labels"`
}

func main() {
	if len(os.Args) != 2 {
		os.Stderr.WriteString("usage: metrics OUT_DIR\n")
		os.Exit(2)
	}
	var all []Metric
	for _, pkg := range linked() {
		all = append(all, pkg.metrics()...)
	}
	slices.SortFunc(all, func(a, b Metric) int { return cmp.Compare(a.Name, b.Name) })
	var lines []string
	for i, metric := range all {
		if i > 0 && metric.Name == all[i-1].Name {
			if out.JSON(metric) != out.JSON(all[i-1]) {
				out.Must(fmt.Errorf("%s is declared twice, and not the same", metric.Name))
			}
			continue
		}
		lines = append(lines, out.JSON(metric))
	}
	f := out.New(os.Args[1], "metrics.json")
	f.Text("{")
	f.Text(` "source": ` + out.JSON(out.Source("k8s.io/kubernetes", "k8s.io/apiserver", "k8s.io/component-base")) + ",")
	f.Array("metrics", lines, true)
	f.Text("}")
	out.Must(f.Close())
}
