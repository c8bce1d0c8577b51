package state

import (
	"cmp"
	"iter"
	"net/url"
	"strings"
)

// Setting is an account setting of a principal.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Setting.html
type Setting struct {
	// Principal is an ARN; empty is the account's default.
	Principal string `cbor:"1,keyasint,omitempty"`
	Name      string `cbor:"2,keyasint"`
	Value     string `cbor:"3,keyasint,omitempty"`
}

type settingID struct{ principal, name string }

// Settings is the table of account settings, by principal and name.
type Settings struct {
	w *writer
	t table[settingID, Setting]
}

func newSettings(w *writer) *Settings {
	compare := func(a, b settingID) int {
		return cmp.Or(strings.Compare(a.principal, b.principal), strings.Compare(a.name, b.name))
	}
	return &Settings{w: w, t: newTable[settingID, Setting](compare)}
}

func (s *Settings) copy(w *writer) *Settings { return &Settings{w: w, t: s.t.copy()} }

// Get gives a setting, or nil. It does not fall back on the account's default.
func (s *Settings) Get(principal, name string) *Setting { return s.t.get(settingID{principal, name}) }

// All iterates by principal, then name; the account's defaults come first.
func (s *Settings) All() iter.Seq[*Setting] { return s.t.all() }

// Put adds or replaces a setting.
func (s *Settings) Put(v *Setting) {
	s.w.check()
	record(s.w, settingsTable, settingKey(v), s.t.set(settingID{v.Principal, v.Name}, v), v)
}

// Delete removes a setting, if it is there.
func (s *Settings) Delete(principal, name string) {
	s.w.check()
	if old := s.t.set(settingID{principal, name}, nil); old != nil {
		record(s.w, settingsTable, settingKey(old), old, nil)
	}
}

// An ARN has slashes of its own.
func settingKey(v *Setting) string { return "settings/" + url.PathEscape(v.Principal) + "/" + v.Name }

func (s *Settings) name() string { return "settings" }

func (s *Settings) replace(old, new any) {
	if v := ptr[Setting](new); v != nil {
		s.t.set(settingID{v.Principal, v.Name}, v)
		return
	}
	v := ptr[Setting](old)
	s.t.set(settingID{v.Principal, v.Name}, nil)
}

func (s *Settings) decode(value []byte, _ *interner) (any, string, error) {
	return decodeRow(value, settingKey, nil)
}

func (s *Settings) rows(yield func(string, any) bool) { yieldRows(s.t, settingKey, yield) }

func (s *Settings) counterpart(row any) any {
	v := ptr[Setting](row)
	return orNil(s.t.get(settingID{v.Principal, v.Name}))
}
