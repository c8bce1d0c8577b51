package logs

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"roadstead.dev/roadstead/internal/fault"
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
		return fault.New(fault.InvalidParameter, "1 validation error detected: %s", c.wrong[0])
	default:
		return fault.New(fault.InvalidParameter, "%d validation errors detected: %s", n, strings.Join(c.wrong, "; "))
	}
}

// shown is a value as it is said back: what is long is cut.
func shown(v string) string {
	const most = 1024
	if len(v) > most {
		v = strings.ToValidUTF8(v[:most], "") + "..."
	}
	return "'" + v + "'"
}

// The forms of names.
// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
var (
	groupName  = regexp.MustCompile(`^[\.\-_/#A-Za-z0-9]*$`)
	streamName = regexp.MustCompile(`^[^:*]*$`)
	identifier = regexp.MustCompile(`^[\w#+=/:,.@-]*$`)
	arnForm    = regexp.MustCompile(`^[\w+=/:,.@-]*$`)
	tagKey     = regexp.MustCompile(`^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$`)
	tagValue   = regexp.MustCompile(`^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`)
)

// form is the constraint on a text.
type form struct {
	min, max int // characters
	pattern  *regexp.Regexp
	said     string // the pattern in AWS's words
}

var (
	groupNameForm  = form{1, 512, groupName, `[\.\-_/#A-Za-z0-9]+`}
	groupPartForm  = form{0, 512, groupName, `[\.\-_/#A-Za-z0-9]*`}
	streamNameForm = form{1, 512, streamName, `[^:*]*`}
	identifierForm = form{1, 2048, identifier, `[\w#+=/:,.@-]*`}
	arnTextForm    = form{1, 1011, arnForm, `[\w+=/:,.@-]*`}
	tagKeyForm     = form{1, 128, tagKey, `^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$`}
	tagValueForm   = form{0, 256, tagValue, `^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`}
	tokenForm      = form{min: 1, max: 4096}
	patternForm    = form{min: 0, max: 1024}
)

// text checks a member that must be there, and gives it.
func (c *checks) text(v *string, member string, f form) string {
	if v == nil {
		c.add("null", member, "Member must not be null")
		return ""
	}
	c.value(*v, member, f)
	return *v
}

// optional checks a member if it is there.
func (c *checks) optional(v *string, member string, f form) string {
	if v == nil {
		return ""
	}
	c.value(*v, member, f)
	return *v
}

func (c *checks) value(v, member string, f form) {
	n := utf8.RuneCountInString(v)
	if f.pattern != nil && (!utf8.ValidString(v) || !f.pattern.MatchString(v)) {
		c.add(shown(v), member, "Member must satisfy regular expression pattern: "+f.said)
	}
	if n < f.min {
		c.add(shown(v), member, fmt.Sprintf("Member must have length greater than or equal to %d", f.min))
	}
	if n > f.max {
		c.add(shown(v), member, fmt.Sprintf("Member must have length less than or equal to %d", f.max))
	}
}

// count checks how many a list or a map has.
func (c *checks) count(n int, value, member string, least, most int) {
	if n < least {
		c.add(value, member, fmt.Sprintf("Member must have length greater than or equal to %d", least))
	}
	if n > most {
		c.add(value, member, fmt.Sprintf("Member must have length less than or equal to %d", most))
	}
}

// limit checks a page's size, and gives it or the default.
func (c *checks) limit(v *int32, most, preset int) int {
	if v == nil {
		return preset
	}
	if *v < 1 {
		c.add(fmt.Sprintf("'%d'", *v), "limit", "Member must have value greater than or equal to 1")
	}
	if int(*v) > most {
		c.add(fmt.Sprintf("'%d'", *v), "limit", fmt.Sprintf("Member must have value less than or equal to %d", most))
	}
	return int(*v)
}

// time checks a time, which is not negative.
func (c *checks) time(v *int64, member string, preset int64) int64 {
	if v == nil {
		return preset
	}
	if *v < 0 {
		c.add(fmt.Sprintf("'%d'", *v), member, "Member must have value greater than or equal to 0")
	}
	return *v
}

// enum checks a member that has few values; "" stands for absent.
func (c *checks) enum(v, member string, values ...string) {
	if v == "" {
		return
	}
	for _, want := range values {
		if v == want {
			return
		}
	}
	c.add(shown(v), member, "Member must satisfy enum value set: ["+strings.Join(values, ", ")+"]")
}

// tags checks tags and their number.
func (c *checks) tags(tags map[string]string, least, most int) {
	c.count(len(tags), "'"+fmt.Sprint(len(tags))+" tags'", "tags", least, most)
	for k, v := range tags {
		c.value(k, "tags.key", tagKeyForm)
		c.value(v, "tags."+clip(k)+".member", tagValueForm)
	}
}

func clip(s string) string {
	if len(s) > 128 {
		return strings.ToValidUTF8(s[:128], "")
	}
	return s
}

func badParameter(format string, args ...any) error {
	return fault.New(fault.InvalidParameter, format, args...)
}
