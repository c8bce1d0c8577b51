package schedule

import (
	"testing"
	"time"
)

// TestNext has the developer guide's examples, from Friday, 2 January 2026, 03:04:05.
func TestNext(t *testing.T) {
	from := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]string{
		"rate(1 minute)":               "2026-01-02T03:05:05Z",
		"rate(5 hours)":                "2026-01-02T08:04:05Z",
		"cron(0 12 * * ? *)":           "2026-01-02T12:00:00Z",
		"cron(5,35 14 * * ? *)":        "2026-01-02T14:05:00Z",
		"cron(15 10 ? * 6L 2026-2027)": "2026-01-30T10:15:00Z",
		"cron(0 10 * * ? *)":           "2026-01-02T10:00:00Z",
		"cron(0 18 ? * MON-FRI *)":     "2026-01-02T18:00:00Z",
		"cron(0 8 1 * ? *)":            "2026-02-01T08:00:00Z",
		"cron(0/10 * ? * MON-FRI *)":   "2026-01-02T03:10:00Z",
		"cron(0 0 ? * 3#2 *)":          "2026-01-13T00:00:00Z",
		"cron(0 0 L * ? *)":            "2026-01-31T00:00:00Z",
		"cron(0 0 LW * ? *)":           "2026-01-30T00:00:00Z",
		"cron(0 0 3W * ? *)":           "2026-02-03T00:00:00Z",
		"cron(0 0 1W 2 ? *)":           "2026-02-02T00:00:00Z",
		"cron(0 0 29 2 ? *)":           "2028-02-29T00:00:00Z",
		"cron(0 0 ? * L *)":            "2026-01-03T00:00:00Z",
		"cron(4 3 * * ? *)":            "2026-01-03T03:04:00Z",
		"cron(0 0 1 1 ? 1999)":         "",
	} {
		s, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := ""
		if n := s.Next(from); !n.IsZero() {
			got = n.Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{"", "rate(1 minutes)", "rate(5 minute)", "rate(0 minutes)", "rate(1 second)", "rate(-1 minutes)", "rate(1.5 hours)",
		"cron(* * * * *)", "cron(* * * * * *)", "cron(* * ? * ? *)", "cron(60 * * * ? *)", "cron(* 24 * * ? *)", "cron(* * 32 * ? *)", "cron(* * ? 13 1 *)",
		"cron(* * ? * 8 *)", "cron(* * ? * 1#6 *)", "cron(* * * * ? 2200)", "cron(*/0 * * * ? *)", "cron(9-3 * * * ? *)", "rate(5 minutes", "at(2026-01-01T00:00:00)"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
