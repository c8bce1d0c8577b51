// Package constraint checks the members of a request against the constraints of AWS's API references, and says what is wrong in
// the words that the services which share AWS's own validation use: CloudWatch Logs, EventBridge, Systems Manager.
package constraint

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"roadstead.dev/roadstead/internal/fault"
)

// Form is the constraint on a text.
type Form struct {
	Min, Max int // characters
	Pattern  *regexp.Regexp
	// Said is the pattern in AWS's words; if it is empty, Pattern without its anchors.
	Said string
}

// Checks gathers what is wrong with a request. The zero Checks has found nothing.
type Checks struct{ wrong []string }

// Add notes that a member's value, as it is to be shown, fails a constraint.
func (c *Checks) Add(value, member, constraint string) {
	c.wrong = append(c.wrong, fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, member, constraint))
}

// Found is how many things are wrong.
func (c *Checks) Found() int { return len(c.wrong) }

// Err is what was found, as an exception of a kind; nil if nothing was.
func (c *Checks) Err(kind fault.Kind) error {
	switch n := len(c.wrong); n {
	case 0:
		return nil
	case 1:
		return fault.New(kind, "1 validation error detected: %s", c.wrong[0])
	default:
		return fault.New(kind, "%d validation errors detected: %s", n, strings.Join(c.wrong, "; "))
	}
}

// Shown is a value as it is said back: what is long is cut.
func Shown(v string) string {
	const most = 1024
	if len(v) > most {
		v = strings.ToValidUTF8(v[:most], "") + "..."
	}
	return "'" + v + "'"
}

// Text checks a member that must be there, and gives it.
func (c *Checks) Text(v *string, member string, f Form) string {
	if v == nil {
		c.Add("null", member, "Member must not be null")
		return ""
	}
	return c.Optional(v, member, f)
}

// Optional checks a member if it is there, and gives it or "".
func (c *Checks) Optional(v *string, member string, f Form) string {
	if v == nil {
		return ""
	}
	c.Value(*v, member, f)
	return *v
}

// Value checks a text. One that is empty is said to be too short, and not to be of another form.
func (c *Checks) Value(v, member string, f Form) {
	n := utf8.RuneCountInString(v)
	if f.Pattern != nil && n > 0 && (!utf8.ValidString(v) || !f.Pattern.MatchString(v)) {
		said := f.Said
		if said == "" {
			said = strings.Trim(f.Pattern.String(), "^$")
		}
		c.Add(Shown(v), member, "Member must satisfy regular expression pattern: "+said)
	}
	if n < f.Min || n > f.Max { // Else a batch's messages would be copied to be shown to nobody.
		c.Count(n, Shown(v), member, f.Min, f.Max)
	}
}

// Count checks how many a list or a map has; value is how it is shown.
func (c *Checks) Count(n int, value, member string, least, most int) {
	if n < least {
		c.Add(value, member, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	}
	if n > most {
		c.Add(value, member, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
}

// Number checks a number if it is there, and gives it or the preset.
func Number[N int32 | int64](c *Checks, v *N, member string, least, most, preset N) N {
	if v == nil {
		return preset
	}
	if *v < least {
		c.Add(fmt.Sprintf("'%d'", *v), member, fmt.Sprintf("Member must have value greater than or equal to %d", least))
	}
	if *v > most {
		c.Add(fmt.Sprintf("'%d'", *v), member, fmt.Sprintf("Member must have value less than or equal to %d", most))
	}
	return *v
}

// Enum checks a member that has few values; "" stands for absent.
func (c *Checks) Enum(v, member string, values ...string) {
	if v == "" {
		return
	}
	for _, want := range values {
		if v == want {
			return
		}
	}
	c.Add(Shown(v), member, "Member must satisfy enum value set: ["+strings.Join(values, ", ")+"]")
}
