package logs

import (
	"strings"

	"roadstead.dev/roadstead/internal/fault"
)

func (s *Service) groupARN(name string) string {
	return "arn:aws:logs:" + s.cfg.Region + ":" + s.cfg.Account + ":log-group:" + name
}

// groupOfARN gives the name of the group that an ARN names, with or without the ":*" that IAM policies want.
func (s *Service) groupOfARN(arn string) (string, bool) {
	name, ok := strings.CutPrefix(arn, s.groupARN(""))
	name = strings.TrimSuffix(name, ":*")
	return name, ok && name != "" && groupName.MatchString(name)
}

// groupOf finds the group that a request names by exactly one of its two members.
func (s *Service) groupOf(c *checks, name, ident *string) (string, error) {
	if name != nil {
		c.Value(*name, "logGroupName", groupNameForm)
	}
	if ident != nil {
		c.Value(*ident, "logGroupIdentifier", identifierForm)
	}
	if err := c.err(); err != nil {
		return "", err
	}
	switch {
	case name != nil && ident != nil:
		return "", badParameter("LogGroupName and LogGroupIdentifier cannot both be specified.")
	case name != nil:
		return *name, nil
	case ident != nil:
		return s.identified(*ident)
	default:
		return "", badParameter("Either LogGroupName or LogGroupIdentifier must be specified.")
	}
}

// identified gives the name of the group that a name or an ARN without a trailing asterisk names.
func (s *Service) identified(ident string) (string, error) {
	if !strings.HasPrefix(ident, "arn:") {
		if !groupName.MatchString(ident) {
			return "", badParameter("The specified log group identifier is not a name or an ARN of a log group.")
		}
		return ident, nil
	}
	if strings.HasSuffix(ident, "*") {
		return "", badParameter("The ARN of a log group must not end with an asterisk.")
	}
	parts := strings.SplitN(ident, ":", 7)
	if len(parts) != 7 || parts[1] != "aws" || parts[2] != "logs" || parts[5] != "log-group" || !groupName.MatchString(parts[6]) {
		return "", badParameter("The specified ARN is not the ARN of a log group.")
	}
	if name, ok := s.groupOfARN(ident); ok {
		return name, nil
	}
	return "", fault.New(fault.ResourceNotFound, "The specified log group does not exist.")
}
