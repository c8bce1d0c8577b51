package state

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/secrets"
)

var addGolden = flag.Bool("add-golden", false, "keep today's encoding of every table in testdata, if it is a new one")

// kinds are the tables' rows with every field filled, and how they are read.
func kinds() map[string]struct {
	full   any
	decode func([]byte) (any, error)
} {
	type kind = struct {
		full   any
		decode func([]byte) (any, error)
	}
	return map[string]kind{
		"clusters":            {filled[ecs.Cluster](), anyDecode[ecs.Cluster]},
		"definitions":         {filled[ecs.TaskDefinition](), anyDecode[ecs.TaskDefinition]},
		"families":            {filled[ecs.Family](), anyDecode[ecs.Family]},
		"instances":           {filled[ecs.Instance](), anyDecode[ecs.Instance]},
		"tasks":               {filled[ecs.Task](), anyDecode[ecs.Task]},
		"tokens":              {filled[Token](), anyDecode[Token]},
		"settings":            {filled[Setting](), anyDecode[Setting]},
		"capacity-providers":  {filled[ecs.CapacityProvider](), anyDecode[ecs.CapacityProvider]},
		"subnets":             {filled[ecs.Subnet](), anyDecode[ecs.Subnet]},
		"services":            {filled[ecs.Service](), anyDecode[ecs.Service]},
		"service-events":      {filled[ecs.ServiceEvent](), anyDecode[ecs.ServiceEvent]},
		"service-deployments": {filled[ecs.ServiceDeployment](), anyDecode[ecs.ServiceDeployment]},
		"service-revisions":   {filled[ecs.ServiceRevision](), anyDecode[ecs.ServiceRevision]},
		"daemons":             {filled[ecs.Daemon](), anyDecode[ecs.Daemon]},
		"daemon-revisions":    {filled[ecs.DaemonRevision](), anyDecode[ecs.DaemonRevision]},
		"daemon-deployments":  {filled[ecs.DaemonDeployment](), anyDecode[ecs.DaemonDeployment]},
		"secrets":             {filled[secrets.Secret](), anyDecode[secrets.Secret]},
		"secret-values":       {filled[secrets.SecretValue](), anyDecode[secrets.SecretValue]},
		"parameters":          {filled[secrets.Parameter](), anyDecode[secrets.Parameter]},
		"parameter-values":    {filled[secrets.ParameterValue](), anyDecode[secrets.ParameterValue]},
		"event-rules":         {filled[EventRule](), anyDecode[EventRule]},
		"event-outbox":        {filled[EventRecord](), anyDecode[EventRecord]},
		"event-retries":       {filled[EventRetry](), anyDecode[EventRetry]},
		"system-keys":         {filled[secrets.SystemKey](), anyDecode[secrets.SystemKey]},
		"join-tokens":         {filled[ecs.JoinToken](), anyDecode[ecs.JoinToken]},
		"agent-keys":          {filled[ecs.AgentKey](), anyDecode[ecs.AgentKey]},
		"event-buses":         {filled[EventBus](), anyDecode[EventBus]},
		"event-connections":   {filled[EventConnection](), anyDecode[EventConnection]},
		"event-destinations":  {filled[EventDestination](), anyDecode[EventDestination]},
	}
}

func anyDecode[V any](b []byte) (any, error) { return decode[V](b) }

func filled[V any]() *V {
	v, n := new(V), 0
	fillValue(reflect.ValueOf(v).Elem(), &n)
	return v
}

// fillValue gives every field another value that is not zero.
func fillValue(v reflect.Value, n *int) {
	*n++
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, *n*1000+1, time.UTC)))
	case v.Type() == reflect.TypeFor[ecs.TaskStatus]():
		v.SetUint(uint64(*n%9 + 1))
	case v.Kind() == reflect.String:
		v.SetString("s" + strconv.Itoa(*n))
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(int64(*n))
	case v.CanUint():
		v.SetUint(uint64(*n % 251))
	case v.CanFloat():
		v.SetFloat(float64(*n) + 0.5)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fillValue(v.Elem(), n)
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fillValue(v.Index(0), n)
		fillValue(v.Index(1), n)
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			fillValue(v.Index(i), n)
		}
	case v.Kind() == reflect.Map:
		key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fillValue(key, n)
		fillValue(elem, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, elem)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fillValue(v.Field(i), n)
		}
	default:
		panic("a stored field of type " + v.Type().String())
	}
}

// TestEveryFieldIsStored fails for a field that is lost on the way.
func TestEveryFieldIsStored(t *testing.T) {
	for name, k := range kinds() {
		var buf, again bytes.Buffer
		if err := encode(&buf, k.full); err != nil {
			t.Fatal(name, err)
		}
		got, err := k.decode(buf.Bytes())
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(k.full, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		if err := encode(&again, got); err != nil || !bytes.Equal(buf.Bytes(), again.Bytes()) {
			t.Errorf("%s: the same value has two encodings, or %v", name, err)
		}
	}
}

// TestOldRecordsStillRead reads every record ever kept in testdata: NAME-N.hex as it was stored and NAME-N.json as it must
// read. A change of the stored form, such as a new field, adds a file with the next N: go test -add-golden. A file that
// exists is never changed: there are databases with such records.
func TestOldRecordsStillRead(t *testing.T) {
	for name, k := range kinds() {
		files, err := filepath.Glob("testdata/" + name + "-*.hex")
		if err != nil {
			t.Fatal(err)
		}
		var stored [][]byte
		for _, f := range files {
			stored = append(stored, readGolden(t, f, k.decode))
		}
		var buf bytes.Buffer
		if err := encode(&buf, k.full); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(stored, func(b []byte) bool { return bytes.Equal(b, buf.Bytes()) }) {
			continue
		}
		if !*addGolden {
			t.Errorf("%s are stored in a form that testdata does not know: keep it with go test -add-golden", name)
			continue
		}
		base := "testdata/" + name + "-" + strconv.Itoa(len(files)+1)
		writeGolden(t, base+".hex", hex.EncodeToString(buf.Bytes())+"\n")
		writeGolden(t, base+".json", asJSON(t, k.full))
	}
}

func readGolden(t *testing.T, file string, decode func([]byte) (any, error)) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(file, err)
	}
	got, err := decode(raw)
	if err != nil {
		t.Fatalf("%s does not read: %v", file, err)
	}
	want, err := os.ReadFile(strings.TrimSuffix(file, ".hex") + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var before, now any
	if err := json.Unmarshal(want, &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(asJSON(t, got)), &now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, keep(now, before)); diff != "" {
		t.Errorf("%s reads otherwise:\n%s", file, diff)
	}
	return raw
}

// keep leaves out of now the fields that before does not have: they came later.
func keep(now, before any) any {
	switch b := before.(type) {
	case map[string]any:
		n, ok := now.(map[string]any)
		if !ok {
			return now
		}
		kept := map[string]any{}
		for k, v := range n {
			if old, ok := b[k]; ok {
				kept[k] = keep(v, old)
			}
		}
		return kept
	case []any:
		n, ok := now.([]any)
		if !ok || len(n) != len(b) {
			return now
		}
		for i := range n {
			n[i] = keep(n[i], b[i])
		}
		return n
	}
	return now
}

func writeGolden(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b) + "\n"
}

// TestUnreadableRecords are refused with a reason, and not with a panic.
func TestUnreadableRecords(t *testing.T) {
	var buf bytes.Buffer
	if err := encode(&buf, filled[ecs.Task]()); err != nil {
		t.Fatal(err)
	}
	newer := bytes.Clone(buf.Bytes())
	newer[0]++
	for name, b := range map[string][]byte{"empty": nil, "newer": newer, "cut": buf.Bytes()[:buf.Len()/2], "another type": {encodingCBOR, 0x63, 'a', 'b', 'c'}} {
		if _, err := decode[ecs.Task](b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestFieldsOfANewerVersionAreSkipped reads a task with a key that this version does not know.
func TestFieldsOfANewerVersionAreSkipped(t *testing.T) {
	b := append([]byte{encodingCBOR}, 0xa2, 0x02, 0x61, 'c', 0x19, 0x03, 0xe7, 0x81, 0x01)
	v, err := decode[ecs.Task](b)
	if err != nil || v.Cluster != "c" {
		t.Errorf("%+v, %v", v, err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, k := range kinds() {
		var buf bytes.Buffer
		if err := encode(&buf, k.full); err != nil {
			f.Fatal(err)
		}
		f.Add(buf.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, k := range kinds() {
			v, err := k.decode(b)
			if err != nil {
				continue
			}
			var buf bytes.Buffer
			if err := encode(&buf, v); err != nil {
				t.Fatalf("%s: what was read cannot be written: %v", name, err)
			}
			if _, err := k.decode(buf.Bytes()); err != nil {
				t.Fatalf("%s: what was written cannot be read: %v", name, err)
			}
		}
	})
}
