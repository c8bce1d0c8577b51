package logs

import (
	"testing"

	"roadstead.dev/roadstead/internal/logstore"
)

func FuzzTokens(f *testing.F) {
	f.Add(sealToken(place{Name: "n", Time: 5, Seq: 6, Back: true}, "scope"))
	f.Add(forwardToken(logstore.Pos{Time: 1_700_000_000_000, Seq: 3}))
	f.Add(backwardToken(logstore.Pos{}))
	f.Add("e30.")
	f.Add("f//s")
	f.Fuzz(func(t *testing.T, token string) {
		if p, forward, err := openEventToken(token); err == nil {
			again := backwardToken(p)
			if forward {
				again = forwardToken(p)
			}
			if again != token {
				t.Errorf("%q reads as %v", token, p)
			}
		}
		if p, err := openToken(token, "scope"); err == nil {
			if again, err := openToken(sealToken(p, "scope"), "scope"); err != nil || again != p {
				t.Errorf("%q reads as %v, then as %v, %v", token, p, again, err)
			}
			if _, err := openToken(token, "other"); err == nil {
				t.Errorf("%q is of two questions", token)
			}
		}
	})
}
