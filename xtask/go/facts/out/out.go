// Package out writes fact files: one JSON value a line, keys in declared order, nothing escaped for HTML,
// and the Go modules that the facts were read from at the head.
package out

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// File is a fact file that is being written.
type File struct {
	path string
	buf  bytes.Buffer
}

// New starts the file name in folder dir.
func New(dir, name string) *File { return &File{path: filepath.Join(dir, name)} }

// JSON is a value as one line of JSON, without the line end.
func JSON(value any) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(buf.String(), "\n")
}

// Line appends value as one line.
func (f *File) Line(value any) { f.Text(JSON(value)) }

// Text appends one line as it is.
func (f *File) Text(line string) {
	f.buf.WriteString(line)
	f.buf.WriteByte('\n')
}

// Array appends `"key": [` with one element a line; last leaves out the comma after it.
func (f *File) Array(key string, lines []string, last bool) {
	f.Text(" " + JSON(key) + ": [")
	for i, line := range lines {
		comma := ","
		if i == len(lines)-1 {
			comma = ""
		}
		f.Text("  " + line + comma)
	}
	if last {
		f.Text(" ]")
	} else {
		f.Text(" ],")
	}
}

// Close writes the file.
func (f *File) Close() error {
	return os.WriteFile(f.path, f.buf.Bytes(), 0o644)
}

// Source names modules with their versions, in the order of their names.
func Source(modules ...string) []string {
	args := append([]string{"list", "-m", "-f", "{{.Path}} {{with .Replace}}{{.Version}}{{else}}{{.Version}}{{end}}"}, modules...)
	text, err := exec.Command("go", args...).Output()
	if err != nil {
		panic(fmt.Errorf("go list -m: %w", err))
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	sort.Strings(lines)
	return lines
}

// ModuleDir is the folder of a module in the module cache.
func ModuleDir(module string) string {
	text, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		panic(fmt.Errorf("go list -m %s: %w", module, err))
	}
	return strings.TrimSpace(string(text))
}

// Must stops the program on an error.
func Must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
