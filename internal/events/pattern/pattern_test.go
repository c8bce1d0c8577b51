package pattern_test

import (
	"testing"

	"roadstead.dev/roadstead/internal/events/pattern"
)

// TestMatch has the examples of the developer's guide, and what they leave open.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, event string
		want           bool
	}{
		{`{"a":["x"]}`, `{"a":"x"}`, true},
		{`{"a":["x"]}`, `{"a":"X"}`, false},
		{`{"a":["x"]}`, `{"a":["y","x"]}`, true},
		{`{"a":["x"]}`, `{}`, false},
		{`{"a":["x","y"],"b":[1]}`, `{"a":"y","b":1,"c":2}`, true},
		{`{"a":["x","y"],"b":[1]}`, `{"a":"y","b":2}`, false},
		{`{"a":{"b":["x"]}}`, `{"a":{"b":"x"}}`, true},
		{`{"a":{"b":["x"]}}`, `{"a":"x"}`, false},
		{`{"a":{"b":["x"],"c":["y"]}}`, `{"a":[{"b":"x","c":"n"},{"b":"n","c":"y"}]}`, false},
		{`{"a":{"b":["x"],"c":["y"]}}`, `{"a":[{"b":"n","c":"y"},{"b":"x","c":"y"}]}`, true},
		{`{"a":[300]}`, `{"a":300}`, true},
		{`{"a":[300]}`, `{"a":300.0}`, false},
		{`{"a":[null]}`, `{"a":null}`, true},
		{`{"a":[null]}`, `{}`, false},
		{`{"a":[""]}`, `{"a":""}`, true},
		{`{"a":[true]}`, `{"a":true}`, true},
		{`{"a":[true]}`, `{"a":"true"}`, false},
		{`{"a":[{"prefix":"us-"}]}`, `{"a":"us-east-1"}`, true},
		{`{"a":[{"prefix":"us-"}]}`, `{"a":"eu-us-"}`, false},
		{`{"a":[{"prefix":{"equals-ignore-case":"EventB"}}]}`, `{"a":"EVENTBridge"}`, true},
		{`{"a":[{"suffix":".png"}]}`, `{"a":"x.png"}`, true},
		{`{"a":[{"suffix":{"equals-ignore-case":".png"}}]}`, `{"a":"x.PnG"}`, true},
		{`{"a":[{"suffix":".png"}]}`, `{"a":1}`, false},
		{`{"a":[{"anything-but":"x"}]}`, `{"a":"y"}`, true},
		{`{"a":[{"anything-but":"x"}]}`, `{"a":"x"}`, false},
		{`{"a":[{"anything-but":"x"}]}`, `{}`, false},
		{`{"a":[{"anything-but":123}]}`, `{"a":124}`, true},
		{`{"a":[{"anything-but":["x","y"]}]}`, `{"a":"y"}`, false},
		{`{"a":[{"anything-but":{"prefix":"i"}}]}`, `{"a":"init"}`, false},
		{`{"a":[{"anything-but":{"prefix":["i","j"]}}]}`, `{"a":"kin"}`, true},
		{`{"a":[{"anything-but":{"suffix":".txt"}}]}`, `{"a":"a.txt"}`, false},
		{`{"a":[{"anything-but":{"equals-ignore-case":["A","b"]}}]}`, `{"a":"B"}`, false},
		{`{"a":[{"anything-but":{"wildcard":"*/lib/*"}}]}`, `{"a":"/usr/lib/x"}`, false},
		{`{"a":[{"anything-but":{"wildcard":"*/lib/*"}}]}`, `{"a":"/usr/bin/x"}`, true},
		{`{"a":[{"numeric":[">",0,"<=",5]}]}`, `{"a":5}`, true},
		{`{"a":[{"numeric":[">",0,"<=",5]}]}`, `{"a":0}`, false},
		{`{"a":[{"numeric":["=",300]}]}`, `{"a":3.0e2}`, true},
		{`{"a":[{"numeric":["<",10]}]}`, `{"a":"5"}`, false},
		{`{"a":[{"exists":true}]}`, `{"a":null}`, true},
		{`{"a":[{"exists":true}]}`, `{"a":{"b":1}}`, false},
		{`{"a":[{"exists":false}]}`, `{"b":1}`, true},
		{`{"a":[{"exists":false}]}`, `{"a":1}`, false},
		{`{"a":[{"exists":false}]}`, `{"a":[]}`, true},
		{`{"a":{"b":[{"exists":false}]}}`, `{}`, true},
		{`{"a":[{"exists":false},"x"]}`, `{"a":"x"}`, true},
		{`{"a":[{"equals-ignore-case":"ALICE-in"}]}`, `{"a":"alice-IN"}`, true},
		{`{"a":[{"wildcard":"dir/*.png"}]}`, `{"a":"dir/a/b.png"}`, true},
		{`{"a":[{"wildcard":"a*a"}]}`, `{"a":"a"}`, false},
		{`{"a":[{"wildcard":"a\\*b"}]}`, `{"a":"a*b"}`, true},
		{`{"a":[{"wildcard":"a\\*b"}]}`, `{"a":"axb"}`, false},
		{`{"a":[{"wildcard":"*x*y*"}]}`, `{"a":"1x2y3"}`, true},
		{`{"a":[{"wildcard":"x"}]}`, `{"a":"x"}`, true},
		{`{"a":[{"cidr":"10.0.0.0/24"}]}`, `{"a":"10.0.0.255"}`, true},
		{`{"a":[{"cidr":"10.0.0.0/24"}]}`, `{"a":"10.0.1.0"}`, false},
		{`{"a":[{"cidr":"2600::/16"}]}`, `{"a":"2600::1"}`, true},
		{`{"$or":[{"a":[1]},{"b":[2]}]}`, `{"b":2}`, true},
		{`{"$or":[{"a":[1]},{"b":[2]}]}`, `{"a":2,"b":1}`, false},
		{`{"c":["x"],"$or":[{"a":[1]},{"b":[{"numeric":[">",1]}]}]}`, `{"b":2,"c":"x"}`, true},
		{`{"d":{"$or":[{"a":[1]},{"b":[2]}]}}`, `{"d":{"a":1}}`, true},
		{`{"$or":["x"]}`, `{"$or":"x"}`, true},
		{`{"resources":[{"prefix":"arn:"}]}`, `{"resources":[]}`, false},
	} {
		p, err := pattern.Parse(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		e, err := pattern.Decode(c.event)
		if err != nil {
			t.Fatal(err)
		}
		if p.Match(e) != c.want {
			t.Errorf("%s matches %s: %v", c.pattern, c.event, !c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		``, `x`, `[]`, `"a"`, `{}`, `{"a":{}}`, `{"a":"x"}`, `{"a":[]}`, `{"a":[["x"]]}`, `{"a":[{}]}`, `{"a":[{"prefix":1}]}`,
		`{"a":[{"prefix":"x","suffix":"y"}]}`, `{"a":[{"what":"x"}]}`, `{"a":[{"anything-but":[]}]}`, `{"a":[{"anything-but":["x",1]}]}`,
		`{"a":[{"anything-but":{"numeric":["=",1]}}]}`, `{"a":[{"numeric":"x"}]}`, `{"a":[{"numeric":["~",1]}]}`, `{"a":[{"numeric":["<","1"]}]}`,
		`{"a":[{"numeric":[">",5,"<",1]}]}`, `{"a":[{"numeric":["=",6e9]}]}`, `{"a":[{"exists":"yes"}]}`, `{"a":[{"cidr":"10.0.0.0"}]}`,
		`{"a":[{"wildcard":"a**b"}]}`, `{"a":[{"wildcard":"a\\b"}]}`, `{"$or":[{"a":["x"]},{}]}`, `{"a":["x"]} y`,
	} {
		if _, err := pattern.Parse(text); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

// FuzzParse: what is taken can be matched; nothing panics.
func FuzzParse(f *testing.F) {
	f.Add(`{"a":[{"anything-but":{"wildcard":"*x"}}],"$or":[{"b":[1]},{"c":[null]}]}`, `{"a":["x",{"b":[]}]}`)
	f.Add(`{"a":[{"numeric":[">",0,"<",5]},{"cidr":"::/0"},{"exists":false}]}`, `{"a":1e99}`)
	f.Fuzz(func(t *testing.T, text, event string) {
		p, err := pattern.Parse(text)
		if err != nil {
			return
		}
		if e, err := pattern.Decode(event); err == nil {
			p.Match(e)
		}
	})
}
