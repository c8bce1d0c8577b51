package transform

import (
	"encoding/json"
	"testing"
)

func TestTemplate(t *testing.T) {
	values := map[string]any{"s": `say "hi"`, "n": json.Number("1.50"), "o": map[string]any{"a": "b"}, "none": nil, "l": []any{"x"}}
	for text, want := range map[string]string{
		`{"a":<s>,"b":<n>}`: `{"a":"say \"hi\"","b":1.50}`,
		`{"a":"<s>!"}`:      `{"a":"say \"hi\"!"}`,
		`"got <o> <l>"`:     `"got {\"a\":\"b\"} [\"x\"]"`,
		`{"a":<none>}`:      `{"a":null}`,
		`"a<none>b"`:        `"ab"`,
		`<other> <`:         `<other> <`,
		`"\"<n>"`:           `"\"1.50"`,
	} {
		if got, err := Template(text, values); err != nil || got != want {
			t.Errorf("%s: %s, want %s (%v)", text, got, want, err)
		}
	}
}

func TestPath(t *testing.T) {
	var event any
	if err := json.Unmarshal([]byte(`{"detail-type":"x","detail":{"a":[{"b c":1}]}}`), &event); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]any{"$.detail-type": "x", "$.detail.a[0]['b c']": 1.0, "$.no": nil, "$.detail.a[3]": nil, "$.detail-type.x": nil} {
		p, err := ParsePath(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, ok := p.Of(event); got != want || ok != (want != nil) {
			t.Errorf("%s: %v", text, got)
		}
	}
	for _, text := range []string{"", "detail", "$x", "$.", "$.a..b", "$.a[", "$.a[x]", "$.*", "$['a"} {
		if _, err := ParsePath(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
