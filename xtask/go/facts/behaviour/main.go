// Command behaviour writes what upstream's server does beyond the shape of its types: the objects it makes at start
// (bootstrap_roles.json, flow_schemas.json), feature gates, table columns, field selectors, storage and defaults. Usage: behaviour OUT_DIR
package main

import (
	"flag"
	"os"

	"k8s.io/klog/v2"

	"skiff/facts/out"
)

func main() {
	if len(os.Args) != 2 {
		os.Stderr.WriteString("usage: behaviour OUT_DIR\n")
		os.Exit(2)
	}
	quiet := flag.NewFlagSet("log", flag.ContinueOnError)
	klog.InitFlags(quiet)
	out.Must(quiet.Set("logtostderr", "false"))
	out.Must(quiet.Set("stderrthreshold", "FATAL"))
	dir := os.Args[1]
	out.Must(writeRoles(dir))
	out.Must(writeFlowSchemas(dir))
	out.Must(writeFeatures(dir))
	out.Must(writeColumns(dir))
	out.Must(writeDefaults(dir))
	// Storage comes last: it switches feature gates on.
	rows := collectStorage()
	out.Must(writeFields(dir, rows))
	out.Must(writeStorage(dir, rows))
}
