package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

const (
	trail = `{
  "eventType": "UpdateTrail", "sourceIPAddress": "111.111.111.111",
  "arrayKey": ["value", "another value"],
  "objectList": [{"name": "a", "id": 1}, {"name": "b", "id": 2}],
  "SomeObject": null, "ThisFlag": true, "cluster.name": "c", "latency": 50.5, "errorCode": "400", "empty": ""
}`
	user = `{
  "user": {"id": 1, "email": "John.Stiles@example.com"},
  "users": [{"id": 2, "email": "John.Doe@example.com"}, {"id": 3, "email": "Jane.Doe@example.com"}],
  "actions": ["GET", "PUT", "DELETE"],
  "coordinates": [[0, 1, 2], [4, 5, 6], [7, 8, 9]]
}`
	apache    = `127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /apache_pb.gif HTTP/1.0" 200 1534`
	apacheErr = `127.0.0.1 - frank [10/Oct/2000:13:35:22 -0700] "GET /index.html HTTP/1.0" 404 5324`
)

// TestDocumented holds the examples of AWS's page on filter patterns, and what its sentences say beside them.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
func TestDocumented(t *testing.T) {
	for _, c := range []struct {
		pattern, message string
		want             bool
	}{
		{``, `anything`, true},
		{`  `, `anything`, true},
		{`ERROR`, `[ERROR] A fatal exception has occurred`, true},
		{`ERROR`, `Exiting with ERRORCODE: -1`, true},
		{`ERROR`, `error`, false},
		{`"ERROR" - "Exiting"`, `Exiting with ERRORCODE: -1`, false},
		{`"ERROR" - "Exiting"`, `[ERROR] A fatal exception has occurred`, true},
		{`ERROR Exception`, `[ERROR] Caught IllegalArgumentException`, true},
		{`ERROR Exception`, `[ERROR] Unhandled`, false},
		{`Failed to process the request`, `[ERROR] Unable to continue: Failed to process the request`, true},
		{`"INTERNAL SERVER ERROR"`, `[ERROR 500] INTERNAL SERVER ERROR`, true},
		{`"INTERNAL SERVER ERROR"`, `[ERROR 500] INTERNAL ERROR SERVER`, false},
		{`ERROR`, `ERROR WARN message`, true},
		{`?ERROR ?WARN`, `ERROR WARN message`, true},
		{`?ERROR ?WARN`, `ERROR message`, true},
		{`?ERROR ?WARN`, `WARN message`, true},
		{`?ERROR ?WARN`, `INFO message`, false},
		{`ERROR WARN`, `ERROR WARN message`, true},
		{`ERROR WARN`, `ERROR message`, false},
		{`ERROR -WARN`, `ERROR message`, true},
		{`ERROR -WARN`, `ERROR WARN message`, false},
		{`-ERROR`, `INFO`, true},
		{`-ERROR`, `ERROR`, false},
		{`?ERROR ?WARN REQUEST`, `[INFO] REQUEST FAILED`, true}, // beside others, ? is ignored
		{`?ERROR ?WARN REQUEST`, `[WARN] UNAUTHORIZED`, false},
		{`%AUTHORIZED%`, `[ERROR 401] UNAUTHORIZED REQUEST`, true},
		{`%AUTHORIZED%`, `[ERROR 401] unauthorized`, false},
		{`%^[hc]at%`, `cat and`, true},
		{`%^[hc]at%`, `a cat`, false},
		{`%[hc]at$%`, `a hat`, true},
		{`%colou?r%`, `color`, true},
		{`%a{3,5}%`, `aaa`, true},
		{`%a{3,5}%`, `aa`, false},
		{`%gra|ey%`, `grey`, true},
		{`%10\.10\.0\.1%`, `from 10.10.0.1`, true},
		{`%10\.10\.0\.1%`, `from 10a10.0.1`, false},
		{`%\d{3}\s\w+%`, `code 404 found`, true},
		{`ERROR %4[0-9]{2}% -"Not Found"`, `ERROR 403 Forbidden`, true},
		{`ERROR %4[0-9]{2}% -"Not Found"`, `ERROR 404 Not Found`, false},

		{`{ $.eventType = "UpdateTrail" }`, trail, true},
		{`{$.eventType="UpdateTrail"}`, trail, true},
		{`{ $.eventType = UpdateTrail }`, trail, true},
		{`{ $.eventType = "Update" }`, trail, false},
		{`{ $.eventType = Update* }`, trail, true},
		{`{ $.eventType = *Trail }`, trail, true},
		{`{ $.eventType = "*dateT*" }`, trail, true},
		{`{ $.eventType = Up*ail }`, trail, false}, // within a text an asterisk is itself
		{`{ $.eventType = * }`, trail, true},
		{`{ $.nothing = * }`, trail, false},
		{`{ $.sourceIPAddress != 123.123.* }`, trail, true},
		{`{ $.sourceIPAddress != 111.111.* }`, trail, false},
		{`{ $.sourceIPAddress = %^111\.1[0-9]+% }`, trail, true},
		{`{ $.sourceIPAddress != %^111% }`, trail, false},
		{`{ $.arrayKey[0] = "value" }`, trail, true},
		{`{ $.arrayKey[1] = "value" }`, trail, false},
		{`{ $.arrayKey[9] = "value" }`, trail, false},
		{`{ $.eventType[0] = "value" }`, trail, false},
		{`{ $.objectList[1].id = 2 }`, trail, true},
		{`{ $.objectList[1].name = 2 }`, trail, false},
		{`{ $.objectList[*].id = 2 }`, trail, true},
		{`{ $.objectList[*].id = 3 }`, trail, false},
		{`{ $.objectList[0].* = a }`, trail, true},
		{`{ $.SomeObject IS NULL }`, trail, true},
		{`{ $.eventType IS NULL }`, trail, false},
		{`{ $.SomeOtherObject IS NULL }`, trail, false},
		{`{ $.SomeOtherObject NOT EXISTS }`, trail, true},
		{`{ $.SomeObject NOT EXISTS }`, trail, false},
		{`{ $.SomeObject EXISTS }`, trail, true},
		{`{ $.ThisFlag IS TRUE }`, trail, true},
		{`{ $.ThisFlag is true }`, trail, true},
		{`{ $.ThisFlag IS FALSE }`, trail, false},
		{`{ $.['cluster.name'] = "c" }`, trail, true},
		{`{ $['cluster.name'] = "c" }`, trail, true},
		{`{ $.empty = "" }`, trail, true},
		{`{ $.empty != "x" }`, trail, true},
		{`{ $.latency = 50.5 }`, trail, true},
		{`{ $.latency = 5.05e1 }`, trail, true},
		{`{ $.latency >= 50.6 }`, trail, false},
		{`{ $.latency > +50 }`, trail, true},
		{`{ $.latency < 10e3 }`, trail, true},
		{`{ $.latency < 10e-3 }`, trail, false},
		{`{ $.latency != 50.5 }`, trail, false},
		{`{ $.latency = 50* }`, trail, true},
		{`{ $.errorCode = 400 }`, trail, true},
		{`{ $.errorCode > 399 }`, trail, true},
		{`{ $.user.id = 1 }`, `not JSON`, false},
		{`{ $.user.id NOT EXISTS }`, `not JSON`, false},
		{`{ $.user.id = 1 }`, `{"user": {"id": 1}} and more`, false},
		{`{ $.users = 1 }`, `{"users": [1, 2, 3]}`, false},
		{`{ $.users != 1 }`, `{"users": [1, 2, 3]}`, false},
		{`{ ($.user.id = 1) && ($.users[0].email = "John.Doe@example.com") }`, user, true},
		{`{ ($.user.id = 2 && $.users[0].email = "nonmatch") || $.actions[2] = "GET" }`, user, false},
		{`{ $.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch && $.actions[2] = nomatch }`, user, true},
		{`{ ($.user.email = "John.Stiles@example.com" || $.coordinates[0][1] = nonmatch) && $.actions[2] = nomatch }`, user, false},
		{`{ $.coordinates[1][2] = 6 }`, user, true},
		{`{$.foo = bar}`, `{"foo": "bar"}`, true},
		{`{$.foo = baz }`, `{"foo": "bar"}`, false},
		{`{$.foo = bar || $.foo = baz }`, `{"foo": "baz"}`, true},
		{`{ $.a = "x" && $.n > 3 || $.z IS NULL }`, `{"a": "x", "n": 4}`, true},

		{`[ip, user, username, timestamp, request, status_code, bytes]`, apache, true},
		{`[ip, user, username, timestamp, request, status_code]`, apache, false},
		{`[..., status_code, bytes]`, apache, true},
		{`[ip, user, ..., status_code, bytes]`, apache, true},
		{`[ip, user, ...]`, apache, true},
		{`[ip, user, username, timestamp, request, status_code, bytes > 1000]`, apache, true},
		{`[ip, user, username, timestamp, request, status_code, bytes > 1534]`, apache, false},
		{`[ip, user, username, timestamp, request, status_code = 200, bytes]`, apache, true},
		{`[ip, user, username, timestamp, request, status_code = 4*, bytes]`, apache, false},
		{`[ip, user, username, timestamp, request, status_code = 4*, bytes]`, apacheErr, true},
		{`[ip, user, username, timestamp, request = *html*, status_code = 4*, bytes]`, apacheErr, true},
		{`[ip, user, username, timestamp, request = *html*, status_code = 4* && bytes > 1000]`, apacheErr, false},
		{`[ip, user, username, timestamp, request, status_code = 4* && status_code != 403, bytes]`, apacheErr, true},
		{`[ip, user, username, timestamp, request, status_code = 403 || status_code = 404, bytes]`, apacheErr, true},
		{`[ip=%127\.0\.0\.[1-9]%, user, username, timestamp, request =*.html*, status_code = 4*, bytes]`, apacheErr, true},
		{`[..., request=*.html*, status_code=4*,]`, apacheErr, true},
		{`[..., timestamp="10/Oct*", request, status, bytes]`, apache, true},
		{`[ip, user, username, timestamp, request, status_code = 4* && bytes > 1000, bytes]`, apacheErr, true},
		{`[ip, user, username, timestamp, request, status_code = 4* && bytes > 6000, bytes]`, apacheErr, false},
		{`[w1=ERROR, w2]`, `ERROR message`, true},
		{`[w1=ERROR, w2]`, `ERROR WARN message`, false},
		{`[w1=ERROR || w1=WARN, w2]`, `WARN message`, true},
		{`[w1!=ERROR&&w1!=WARN, w2]`, `INFO message`, true},
		{`[w1!=ERROR&&w1!=WARN, w2]`, `WARN message`, false},
		{`[(w1=ERROR || w1=WARN) && w1!=WARN, w2]`, `WARN message`, false},
		{`[a, b]`, ``, false},
		{`[...]`, ``, true},
		{`[a]`, `[unclosed`, true},
	} {
		p, err := Parse(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if got := p.Match([]byte(c.message)); got != c.want {
			t.Errorf("%s on %.60s: %v", c.pattern, c.message, got)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		`foo.bar`, `[ERROR`, `"open`, `%open`, `%%`, `%a(b)c%`, `%[a%`, `%some!thing%`, `%é%`, `a"b`, `-`, `?`, `ERROR -`,
		`%a% %b% %c%`, `%\p{L}%`, `%a\%`, `%[ab]{1,300}[cd]{1,300}%`,
		`{`, `{}`, `{ }`, `{ $ }`, `{ $. }`, `{ $.a }`, `{ $.a = }`, `{ $.a = x`, `{ $.a = x } y`, `{ a = x }`, `{ $.a > x }`,
		`{ $.a > "3" }`, `{ $.a > % }`, `{ $.a[x] = 1 }`, `{ $.a[ = 1 }`, `{ $.a[99999999999999999999] = 1 }`, `{ $.a IS }`, `{ $.a IS MAYBE }`,
		`{ $.a NOT }`, `{ ($.a = 1 }`, `{ $.a = 1) }`, `{ $.a = 1 && }`, `{ $.a = 1 & $.b = 1 }`, `{ $.a == 1 }`, `{ $.a[*].b[*] = 1 }`, `{ $.a = b"c }`,
		`{ $['a = 1 }`,
		`[`, `[a`, `[a] b`, `[a b]`, `[..., ...]`, `[a=]`, `[=1]`, `[a=1 &&]`, `[(a=1]`, `[a>x]`,
		strings.Repeat("a", MaxLen+1), "\xff",
		"{" + strings.Repeat("(", 500) + "$.a=1" + strings.Repeat(")", 500) + "}",
		"[" + strings.Repeat("(", 500) + "a=1" + strings.Repeat(")", 500) + "]",
	} {
		if _, err := Parse(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%.60q is taken: %v", text, err)
		}
	}
	if _, err := Parse("foo.bar"); err == nil || err.Error() != "Invalid character(s) in term 'foo.bar'" {
		t.Errorf("AWS's words for a bad term: %v", err)
	}
}

func TestCost(t *testing.T) {
	for text, want := range map[string]int{``: 1, `ERROR`: 1, `%ERROR%`: 2, `{ $.a = 1 }`: 4, `[a]`: 2} {
		p, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if p.Cost() != want {
			t.Errorf("%s costs %d", text, p.Cost())
		}
	}
	if p, err := Parse(`%[ab]?[ab]?[ab]?[ab]?[ab]?[ab]?[ab]?[ab]?%`); err != nil || p.Cost() < 4 {
		t.Errorf("a regular expression of many steps: %v, %v", p, err)
	}
}

// TestHostile has patterns and messages that are slow in other engines.
func TestHostile(t *testing.T) {
	start := time.Now()
	long := strings.Repeat("a", 1<<17)
	nested := strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	for text, message := range map[string]string{
		`%` + strings.Repeat("a?", 200) + strings.Repeat("a", 200) + `%`: long,
		`%a*a*a*a*a*a*a*a*b%`:                       long,
		`%[a-z]{1,500}x%`:                           long,
		`{ $.a.* = *a* || $.* = x || $.b[*] != y }`: `{"a":{"b":"` + long + `"}}`,
		`{ $.a = 1 }`:                               nested,
		`{ ` + strings.Repeat("$.a = 1 || ", 80) + `$.a = 2 }`:         `{"a": "` + long + `"}`,
		`[` + strings.Repeat("a=*b*,", 150) + `...]`:                   strings.Repeat("a ", 1<<19),
		strings.Repeat(`"a" `, 250):                                    long,
		`{ $.n = 1e999999 || $.n > 1` + strings.Repeat("0", 60) + ` }`: `{"n": 1` + strings.Repeat("0", 1<<20) + `}`,
	} {
		p, err := Parse(text)
		if err != nil {
			continue // some are refused, which is as good
		}
		p.Match([]byte(message))
		t.Logf("%v after %.40s, of cost %d", time.Since(start), text, p.Cost())
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestTermsAreContained says again, naively, what a pattern of words means.
func TestTermsAreContained(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[ab_]{1,3}`)
		must, never, some := rapid.SliceOfN(word, 0, 3).Draw(t, "must"), rapid.SliceOfN(word, 0, 2).Draw(t, "never"), rapid.SliceOfN(word, 0, 3).Draw(t, "some")
		message := rapid.StringMatching(`[ab_ ]{0,12}`).Draw(t, "message")
		var text strings.Builder
		want, any := true, false
		for _, w := range must {
			fmt.Fprintf(&text, "%s ", w)
			want = want && strings.Contains(message, w)
		}
		for _, w := range some {
			fmt.Fprintf(&text, "?%s ", w)
			any = any || strings.Contains(message, w)
		}
		for _, w := range never {
			fmt.Fprintf(&text, "-%q ", w)
			want = want && !strings.Contains(message, w)
		}
		if len(must)+len(never) == 0 && len(some) > 0 {
			want = any
		}
		p, err := Parse(text.String())
		if err != nil {
			t.Fatal(err)
		}
		if p.Match([]byte(message)) != want {
			t.Fatalf("%q on %q is not %v", text.String(), message, want)
		}
	})
}

// TestRegexIsGo has a regular expression match as Go's does, wherever it stands.
func TestRegexIsGo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr := rapid.StringMatching(`(\^|)([abc]|\[ab\]|a\+|b\*|c\?|\.){1,4}`).Draw(t, "expr")
		message := rapid.StringMatching(`[abcd]{0,6}`).Draw(t, "message")
		want := regexp.MustCompile(expr).MatchString(message)
		for form, m := range map[string]string{"%" + expr + "%": message, "{$.m = %" + expr + "%}": `{"m":"` + message + `"}`, "[..., m = %" + expr + "%]": "first " + message} {
			p, err := Parse(form)
			if err != nil {
				t.Fatal(err)
			}
			if message != "" && p.Match([]byte(m)) != want {
				t.Fatalf("%s on %s is not %v", form, m, want)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{`ERROR -"a b" ?c %d+%`, `{ $.a[0].*['x'] = "y*" && ($.n >= 1e3 || $.z NOT EXISTS) }`, `[a, b=*x*, ..., c>3 && (c<5 || c=9),]`, `{$`, `[`, `%`, `"\`} {
		f.Add(seed, trail)
		f.Add(seed, apache)
	}
	f.Fuzz(func(t *testing.T, text, message string) {
		p, err := Parse(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > MaxLen {
			t.Errorf("%q is taken", text)
		}
		p.Match([]byte(message))
	})
}
