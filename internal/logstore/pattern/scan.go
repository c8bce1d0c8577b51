package pattern

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
)

// scanner walks the text of a pattern.
type scanner struct {
	text    string
	pos     int
	regexes int
	cost    int // of the regular expressions
}

func (s *scanner) end() bool { return s.pos >= len(s.text) }

// peek is the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.end() {
		return 0
	}
	return s.text[s.pos]
}

func (s *scanner) space() {
	for !s.end() && isSpace(s.peek()) {
		s.pos++
	}
}

// take skips white space and then the token, if it is there.
func (s *scanner) take(token string) bool {
	s.space()
	if !strings.HasPrefix(s.text[s.pos:], token) {
		return false
	}
	s.pos += len(token)
	return true
}

// word takes a keyword, in capitals or not, if it stands there as a whole word.
func (s *scanner) word(w string) bool {
	s.space()
	rest := s.text[s.pos:]
	if len(rest) < len(w) || !strings.EqualFold(rest[:len(w)], w) {
		return false
	}
	if len(rest) > len(w) && wordRune(rune(rest[len(w)])) {
		return false
	}
	s.pos += len(w)
	return true
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\n' || b == '\r' }

func wordRune(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// quoted reads a string in quotation marks; a backslash takes the next character as it is.
func (s *scanner) quoted() (string, error) {
	start := s.pos
	s.pos++
	var b strings.Builder
	for !s.end() {
		c := s.peek()
		s.pos++
		switch {
		case c == '"':
			return b.String(), nil
		case c == '\\' && !s.end():
			b.WriteByte(s.peek())
			s.pos++
		default:
			b.WriteByte(c)
		}
	}
	return "", invalid("the quotation mark at %d is not closed", start)
}

// regex reads a regular expression between percent signs. AWS takes a part of the usual syntax, without groups.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/regex-expressions.html
func (s *scanner) regex() (*regexp.Regexp, error) {
	start := s.pos
	s.pos++
	n := strings.IndexByte(s.text[s.pos:], '%')
	if n < 0 {
		return nil, invalid("the percent sign at %d is not closed", start)
	}
	expr := s.text[s.pos : s.pos+n]
	s.pos += n + 1
	if expr == "" {
		return nil, invalid("empty regular expression")
	}
	if s.regexes++; s.regexes > maxRegexes {
		return nil, invalid("more than %d regular expressions", maxRegexes)
	}
	if err := checkRegex(expr); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, invalid("regular expression %q does not compile", expr)
	}
	size, err := steps(expr)
	if err != nil {
		return nil, err
	}
	s.cost += 1 + size/4
	return re, nil
}

// maxSteps bounds the size of a compiled regular expression: matching takes time proportional to it in the worst case.
const maxSteps = 500

// steps is the size of the compiled expression; a plain text counts as nothing.
func steps(expr string) (int, error) {
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return 0, invalid("regular expression %q does not compile", expr)
	}
	if parsed.Op == syntax.OpLiteral {
		return 0, nil
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return 0, invalid("regular expression %q does not compile", expr)
	}
	if len(prog.Inst) > maxSteps {
		return 0, invalid("regular expression %q is too complex", expr)
	}
	return len(prog.Inst), nil
}

// regexChars are the characters other than letters, digits and white space that AWS takes in a regular expression.
const regexChars = `:_#=@/;,-^$?[]{}|\*+.`

func checkRegex(expr string) error {
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		switch {
		case c == '\\':
			i++
			if i == len(expr) {
				return invalid("regular expression %q ends in a backslash", expr)
			}
			if e := expr[i]; isAlnum(e) && !strings.ContainsRune("dDsSwWxtnr0123456789", rune(e)) || e >= 0x80 {
				return invalid("regular expression %q: \\%c is not supported", expr, e)
			}
		case isAlnum(c), isSpace(c), strings.IndexByte(regexChars, c) >= 0:
		default:
			return invalid("regular expression %q: the character at %d is not supported", expr, i)
		}
	}
	return nil
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
