package logs

import (
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	with := func(kv ...string) map[string]string {
		m := map[string]string{"awslogs-group": "g"}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for _, c := range []struct {
		driver string
		opts   map[string]string
		want   string // part of the error, or empty
	}{
		{"awslogs", with("awslogs-region", "us-east-1", "awslogs-stream-prefix", "p", "awslogs-create-group", "true", "mode", "non-blocking", "max-buffer-size", "25m"), ""},
		{"json-file", map[string]string{"max-size": "10m", "max-file": "3"}, ""},
		{"none", nil, ""},
		{"logentries", nil, "logger: no log driver named 'logentries' is registered"},
		{"", nil, "no log driver named ''"},
		{"awslogs", nil, "must specify a value for log opt 'awslogs-group'"},
		{"awslogs", with("awslogs-endpoint", "x"), "unknown log opt 'awslogs-endpoint' for awslogs log driver"},
		{"json-file", map[string]string{"awslogs-group": "g"}, "unknown log opt 'awslogs-group' for json-file log driver"},
		{"awslogs", with("awslogs-create-group", "maybe"), "must specify valid value for log opt 'awslogs-create-group'"},
		{"awslogs", with("mode", "sometimes"), `logging mode "sometimes" not supported`},
		{"awslogs", with("mode", "blocking", "max-buffer-size", "1m"), "only supported with 'mode=non-blocking'"},
		{"awslogs", with("max-buffer-size", "-1"), "invalid size: '-1'"},
		{"awslogs", with("awslogs-multiline-pattern", "(?<=x)y"), "could not parse multiline pattern"},
		{"awslogs", with("awslogs-multiline-pattern", "x", "awslogs-datetime-format", "%Y"), "at the same time"},
		{"json-file", map[string]string{"max-file": "0"}, "max-file cannot be less than 1"},
		{"json-file", map[string]string{"max-size": "lots"}, "invalid size: 'lots'"},
		{"json-file", map[string]string{"compress": "true"}, "'compress' for json-file log driver is not supported"},
	} {
		_, err := parseOptions(c.driver, c.opts)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s %v: %v, want %q", c.driver, c.opts, err, c.want)
		}
	}
}

func TestFileOptions(t *testing.T) {
	for _, c := range []struct {
		driver string
		opts   map[string]string
		bytes  int64
		files  int
	}{
		{"json-file", nil, 0, 0},
		{"json-file", map[string]string{"max-size": "10m", "max-file": "5"}, 10_000_000, 5},
		{"json-file", map[string]string{"max-size": "-1"}, 0, 0},
		{"json-file", map[string]string{"max-size": "1.5k"}, 1500, 0},
		{"awslogs", map[string]string{"max-buffer-size": "4m"}, 1 << 20, 4},
		{"awslogs", nil, 0, 0},
		{"none", nil, 0, 0},
	} {
		bytes, files, err := FileOptions(c.driver, c.opts)
		if bytes != c.bytes || files != c.files || err != nil {
			t.Errorf("%s %v: %d %d %v", c.driver, c.opts, bytes, files, err)
		}
	}
}

func TestDatetimeFormat(t *testing.T) {
	for _, c := range []struct{ format, yes, no string }{
		{`\[%b %d, %Y %H:%M:%S\]`, "[May 01, 2017 19:00:01] A message", "  at java.lang.Thread"},
		{`%Y-%m-%dT%H:%M:%S%L`, "2024-12-31T23:59:59.123 up", "2024-13-31T23:59:59.123"},
		{`%j %p %%`, "001 AM %", "000 AM %"},
		{`%A %I%p`, "Monday 11PM", "Funday 11PM"},
	} {
		re, err := multilinePattern(map[string]string{"awslogs-datetime-format": c.format})
		must(t, err)
		if !re.MatchString(c.yes) || re.MatchString(c.no) {
			t.Errorf("%s is %s: %q %v, %q %v", c.format, re, c.yes, re.MatchString(c.yes), c.no, re.MatchString(c.no))
		}
	}
}

func TestStreamName(t *testing.T) {
	src := Source{ContainerID: "0123", ContainerName: "web", TaskID: "abcd"}
	for want, o := range map[string]options{"0123": {}, "/pre/../x/web/abcd": {prefix: "/pre/../x"}, "mine": {stream: "mine"}} {
		if got := o.streamName(src); got != want {
			t.Errorf("stream %q, want %q", got, want)
		}
	}
}
