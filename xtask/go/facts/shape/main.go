// Command shape writes what the API's types look like: types.jsonl, discovery.json and, when the structured-merge
// schema says anything that types.jsonl does not, field_sets.jsonl. Usage: shape OUT_DIR
package main

import (
	"os"

	"skiff/facts/out"
)

func main() {
	if len(os.Args) != 2 {
		os.Stderr.WriteString("usage: shape OUT_DIR\n")
		os.Exit(2)
	}
	dir := os.Args[1]
	types := collect()
	out.Must(writeTypes(dir, types))
	out.Must(writeDiscovery(dir))
	out.Must(writeFieldSets(dir, types))
	compareDocuments(types)
}
