package eventbridge

import (
	"encoding/base64"
	"fmt"
	"iter"
	"regexp"
	"strings"
	"unicode/utf8"

	"roadstead.dev/roadstead/internal/fault"
)

// The forms of names.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
var (
	plainName = regexp.MustCompile(`^[\.\-_A-Za-z0-9]+$`)
	busName   = regexp.MustCompile(`^[\.\-_A-Za-z0-9]+$`)
)

// checks gathers what is wrong with a request's members, and says it in the words of AWS's own validation.
type checks struct{ wrong []string }

func (c *checks) add(value, member, constraint string) {
	c.wrong = append(c.wrong, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, member, constraint))
}

func (c *checks) err() error {
	switch n := len(c.wrong); n {
	case 0:
		return nil
	case 1:
		return fault.New(fault.Validation, "1 validation error detected: %s", c.wrong[0])
	default:
		return fault.New(fault.Validation, "%d validation errors detected: %s", n, strings.Join(c.wrong, "; "))
	}
}

// shown is a value as it is said back: what is long is cut.
func shown(v string) string {
	const most = 256
	if len(v) > most {
		v = strings.ToValidUTF8(v[:most], "") + "..."
	}
	return "'" + v + "'"
}

// text checks a member that must be there, and gives it. Bounds are in characters.
func (c *checks) text(v *string, member string, least, most int, form *regexp.Regexp) string {
	if v == nil {
		c.add("null", member, "Member must not be null")
		return ""
	}
	n := utf8.RuneCountInString(*v)
	if n < least {
		c.add(shown(*v), member, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	}
	if n > most {
		c.add(shown(*v), member, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
	if form != nil && n > 0 && !form.MatchString(*v) {
		c.add(shown(*v), member, "Member must satisfy regular expression pattern: "+strings.Trim(form.String(), "^$"))
	}
	return *v
}

// optional checks a member if it is there.
func (c *checks) optional(v *string, member string, least, most int, form *regexp.Regexp) string {
	if v == nil {
		return ""
	}
	return c.text(v, member, least, most, form)
}

// number checks a number if it is there.
func (c *checks) number(v *int32, member string, least, most int32) {
	if v == nil {
		return
	}
	if *v < least {
		c.add(fmt.Sprintf("'%d'", *v), member, fmt.Sprintf("Member must have value greater than or equal to %d", least))
	}
	if *v > most {
		c.add(fmt.Sprintf("'%d'", *v), member, fmt.Sprintf("Member must have value less than or equal to %d", most))
	}
}

// count checks how many a list has.
func (c *checks) count(n int, member string, least, most int) {
	if n < least {
		c.add("'[]'", member, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	}
	if n > most {
		c.add(fmt.Sprintf("'[%d elements]'", n), member, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
}

// enum checks a member that has few values; "" stands for absent.
func (c *checks) enum(v, member string, values ...string) {
	for _, one := range values {
		if v == one || v == "" {
			return
		}
	}
	c.add(shown(v), member, "Member must satisfy enum value set: ["+strings.Join(values, ", ")+"]")
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
	p := page{limit: 100}
	c.number(limit, "limit", 1, 100)
	if limit != nil {
		p.limit = int(*limit)
	}
	if token != nil {
		b, err := base64.RawURLEncoding.DecodeString(*token)
		if err != nil || len(b) == 0 {
			c.add(shown(*token), "nextToken", "Member must be a token that was given")
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
