// Answers what Kubernetes' expression language says of expressions, one a line, so that another engine can be held beside it.
//
// Each line of input is {"mode": "new"|"stored", "expr": "…"}; each line of output what came of it: what is wrong with it, its
// type, its estimated cost, its value or error, its actual cost. The variables are those of `declared`.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"k8s.io/apimachinery/pkg/util/version"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
)

type question struct {
	Mode string `json:"mode"`
	Expr string `json:"expr"`
}

type answer struct {
	Mode     string     `json:"mode"`
	Expr     string     `json:"expr"`
	Issues   string     `json:"issues,omitempty"`
	Type     string     `json:"type,omitempty"`
	Estimate *[2]uint64 `json:"estimate,omitempty"`
	Program  string     `json:"program,omitempty"`
	Value    string     `json:"value,omitempty"`
	Error    string     `json:"error,omitempty"`
	Cost     *uint64    `json:"cost,omitempty"`
}

type sizes struct{}

func (sizes) EstimateSize(checker.AstNode) *checker.SizeEstimate { return nil }
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

func podType() *apiservercel.DeclType {
	field := func(name string, t *apiservercel.DeclType) *apiservercel.DeclField {
		return apiservercel.NewDeclField(name, t, true, nil, nil)
	}
	container := apiservercel.NewObjectType("Pod.Container", map[string]*apiservercel.DeclField{
		"name":       field("name", apiservercel.StringType),
		"image":      field("image", apiservercel.StringType),
		"privileged": field("privileged", apiservercel.BoolType),
		"ports":      field("ports", apiservercel.NewListType(apiservercel.IntType, -1)),
	})
	return apiservercel.NewObjectType("Pod", map[string]*apiservercel.DeclField{
		"name":          field("name", apiservercel.StringType),
		"__namespace__": field("__namespace__", apiservercel.StringType),
		"replicas":      field("replicas", apiservercel.IntType),
		"labels":        field("labels", apiservercel.NewMapType(apiservercel.StringType, apiservercel.StringType, -1)),
		"containers":    field("containers", apiservercel.NewListType(container, -1)),
	})
}

func declared() ([]cel.EnvOption, map[string]any) {
	pod := map[string]any{
		"name":     "web",
		"replicas": int64(3),
		"labels":   map[string]any{"app": "web", "tier": "front"},
		"containers": []any{
			map[string]any{"name": "a", "image": "registry.example/a:1", "privileged": false, "ports": []any{int64(80), int64(443)}},
			map[string]any{"name": "b", "image": "registry.example/b:2"},
		},
	}
	rows := []struct {
		name  string
		t     *cel.Type
		value any
	}{
		{"i", cel.IntType, int64(7)},
		{"u", cel.UintType, uint64(7)},
		{"d", cel.DoubleType, 2.5},
		{"s", cel.StringType, "hello world"},
		{"b", cel.BoolType, true},
		{"bs", cel.BytesType, []byte("bytes")},
		{"ts", cel.TimestampType, time.Date(2024, 2, 29, 12, 34, 56, 789000000, time.UTC)},
		{"du", cel.DurationType, 90 * time.Minute},
		{"l", cel.ListType(cel.IntType), []int64{3, 1, 2}},
		{"ls", cel.ListType(cel.StringType), []string{"b", "a", "c"}},
		{"ll", cel.ListType(cel.ListType(cel.IntType)), [][]int64{{1, 2}, {3}}},
		{"m", cel.MapType(cel.StringType, cel.IntType), map[string]int64{"one": 1, "two": 2}},
		{"x", cel.DynType, map[string]any{"n": int64(1), "s": "text", "l": []any{int64(1), "two", 3.5}, "z": nil}},
		{"pod", cel.ObjectType("Pod"), pod},
		{"dotted.name", cel.StringType, "dots"},
	}
	var options []cel.EnvOption
	values := map[string]any{}
	for _, row := range rows {
		options = append(options, cel.Variable(row.name, row.t))
		values[row.name] = row.value
	}
	return options, values
}

func show(v ref.Val) string {
	switch v := v.(type) {
	case types.Null:
		return "null"
	case types.Bool:
		return strconv.FormatBool(bool(v))
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Uint:
		return strconv.FormatUint(uint64(v), 10) + "u"
	case types.Double:
		if math.IsNaN(float64(v)) {
			return "NaN"
		}
		if math.IsInf(float64(v), 0) {
			if v > 0 {
				return "inf"
			}
			return "-inf"
		}
		return "d" + strconv.FormatFloat(float64(v), 'f', -1, 64)
	case types.String:
		return strconv.Quote(string(v))
	case types.Bytes:
		return "b" + hex.EncodeToString(v)
	case types.Timestamp:
		return "timestamp " + v.Time.Format(time.RFC3339Nano)
	case types.Duration:
		return "duration " + strconv.FormatInt(int64(v.Duration), 10)
	case *types.Optional:
		if v.HasValue() {
			return "optional(" + show(v.GetValue()) + ")"
		}
		return "optional()"
	case *types.Type:
		return "type " + v.TypeName()
	case traits.Lister:
		var parts []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			parts = append(parts, show(it.Next()))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case traits.Mapper:
		var parts []string
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			parts = append(parts, show(key)+": "+show(v.Get(key)))
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return "a " + v.Type().TypeName()
}

func answerTo(env *cel.Env, values map[string]any, q question) (a answer) {
	a = answer{Mode: q.Mode, Expr: q.Expr}
	// Not everything that upstream trips over it catches itself.
	defer func() {
		if fault := recover(); fault != nil {
			a = answer{Mode: q.Mode, Expr: q.Expr, Error: fmt.Sprintf("internal error: %v", fault)}
		}
	}()
	ast, issues := env.Compile(q.Expr)
	if issues != nil && issues.Err() != nil {
		a.Issues = issues.String()
		return a
	}
	a.Type = cel.FormatCELType(ast.OutputType())
	estimate, err := env.EstimateCost(ast, &library.CostEstimator{SizeEstimator: sizes{}})
	if err != nil {
		a.Program = "estimate: " + err.Error()
		return a
	}
	a.Estimate = &[2]uint64{estimate.Min, estimate.Max}
	program, err := env.Program(ast, cel.InterruptCheckFrequency(100))
	if err != nil {
		a.Program = err.Error()
		return a
	}
	value, details, err := program.Eval(values)
	if details != nil && details.ActualCost() != nil {
		a.Cost = details.ActualCost()
	}
	if err != nil {
		a.Error = err.Error()
		return a
	}
	a.Value = show(value)
	return a
}

func main() {
	options, values := declared()
	set := environment.MustBaseEnvSet(version.MajorMinor(1, 36))
	set, err := set.Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions:        options,
		DeclTypes:         []*apiservercel.DeclType{podType()},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 16<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for in.Scan() {
		var q question
		if err := json.Unmarshal(in.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		env := set.NewExpressionsEnv()
		if q.Mode == "stored" {
			env = set.StoredExpressionsEnv()
		}
		if err := encoder.Encode(answerTo(env, values, q)); err != nil {
			os.Exit(1)
		}
		out.Flush()
	}
}
