package logs

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"roadstead.dev/roadstead/internal/api/constraint"
	"roadstead.dev/roadstead/internal/fault"
)

// checks gathers what is wrong with a request's members.
type checks struct{ constraint.Checks }

func (c *checks) err() error { return c.Err(fault.InvalidParameter) }

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

var (
	groupNameForm  = constraint.Form{Min: 1, Max: 512, Pattern: groupName, Said: `[\.\-_/#A-Za-z0-9]+`}
	groupPartForm  = constraint.Form{Min: 0, Max: 512, Pattern: groupName, Said: `[\.\-_/#A-Za-z0-9]*`}
	streamNameForm = constraint.Form{Min: 1, Max: 512, Pattern: streamName, Said: `[^:*]*`}
	identifierForm = constraint.Form{Min: 1, Max: 2048, Pattern: identifier, Said: `[\w#+=/:,.@-]*`}
	arnTextForm    = constraint.Form{Min: 1, Max: 1011, Pattern: arnForm, Said: `[\w+=/:,.@-]*`}
	tagKeyForm     = constraint.Form{Min: 1, Max: 128, Pattern: tagKey, Said: `^([\p{L}\p{Z}\p{N}_.:/=+\-@]+)$`}
	tagValueForm   = constraint.Form{Min: 0, Max: 256, Pattern: tagValue, Said: `^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`}
	tokenForm      = constraint.Form{Min: 1, Max: 4096}
	patternForm    = constraint.Form{Min: 0, Max: 1024}
)

// limit checks a page's size, and gives it or the default.
func (c *checks) limit(v *int32, most, preset int) int {
	return int(constraint.Number(&c.Checks, v, "limit", 1, int32(most), int32(preset)))
}

// time checks a time, which is not negative.
func (c *checks) time(v *int64, member string, preset int64) int64 {
	return constraint.Number(&c.Checks, v, member, 0, math.MaxInt64, preset)
}

// tags checks tags and their number.
func (c *checks) tags(tags map[string]string, least, most int) {
	c.Count(len(tags), "'"+fmt.Sprint(len(tags))+" tags'", "tags", least, most)
	for k, v := range tags {
		c.Value(k, "tags.key", tagKeyForm)
		c.Value(v, "tags."+clip(k)+".member", tagValueForm)
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
