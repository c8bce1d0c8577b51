package eventbridge

import (
	"encoding/base64"
	"fmt"
	"iter"
	"regexp"

	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/fault"
)

// The forms of members.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
var (
	plainName       = regexp.MustCompile(`^[\.\-_A-Za-z0-9]+$`)
	nameForm        = constraint.Form{Min: 1, Max: 64, Pattern: plainName}
	busNameForm     = constraint.Form{Min: 1, Max: 256, Pattern: plainName}
	descriptionForm = constraint.Form{Max: 512}
	arnForm         = constraint.Form{Min: 1, Max: 1600}
	patternForm     = constraint.Form{Max: mostPattern}
	scheduleForm    = constraint.Form{Max: 256}
	endpointForm    = constraint.Form{Min: 1, Max: 2048}
	tagKeyForm      = constraint.Form{Min: 1, Max: 128}
	tagValueForm    = constraint.Form{Max: 256}
)

// checks gathers what is wrong with a request's members.
type checks struct{ constraint.Checks }

func (c *checks) err() error { return c.Err(fault.Validation) }

// number checks a number if it is there.
func (c *checks) number(v *int32, member string, least, most int32) {
	constraint.Number(&c.Checks, v, member, least, most, 0)
}

// list checks how many a list has.
func (c *checks) list(n int, member string, least, most int) {
	c.Count(n, fmt.Sprintf("'[%d elements]'", n), member, least, most)
}

// unsupported refuses a member that has no effect here.
func unsupported(given bool, member string) error {
	if !given {
		return nil
	}
	return fault.New(fault.Unsupported, "%s is not supported.", member)
}

// first gives the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// page is a part of a list: a token names the last name that was given.
type page struct {
	limit int
	after string
}

func pageOf(c *checks, limit *int32, token *string) page {
	p := page{limit: int(constraint.Number(&c.Checks, limit, "limit", 1, 100, 100))}
	if token != nil {
		b, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil || len(b) == 0 {
			c.Add(constraint.Shown(*token), "nextToken", "Member must be a token that was given")
		}
		p.after = string(b)
	}
	return p
}

// cut gives the page's part of rows in the order of their names, and the token of the next one.
func cut[V, W any](p page, rows iter.Seq[V], name func(V) string, keep func(V) bool, write func(V) W) (out []W, token *string) {
	out = []W{}
	last := ""
	for v := range rows {
		n := name(v)
		if n <= p.after || !keep(v) {
			continue
		}
		if len(out) == p.limit {
			t := base64.RawURLEncoding.EncodeToString([]byte(last))
			return out, &t
		}
		out, last = append(out, write(v)), n
	}
	return out, nil
}
