package ssm

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
	"roadstead.dev/roadstead/internal/state"
)

// Bounds of names.
// https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-parameter-name-constraints.html
const (
	longestName = 1011
	mostLevels  = 15
)

var nameForm = regexp.MustCompile(`^[a-zA-Z0-9_./-]+$`)

func checkName(name string) error {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	reserved := strings.ToLower(first)
	switch {
	case name == "" || len(name) > longestName || !nameForm.MatchString(name) || strings.HasSuffix(name, "/") || strings.Contains(name, "//"):
		return fault.New(fault.Validation, `Parameter name: can't be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_`)
	case strings.HasPrefix(reserved, "aws") || strings.HasPrefix(reserved, "ssm"):
		return fault.New(fault.Validation, `Parameter name: can't be prefixed with "aws" or "ssm" (case-insensitive).`)
	case strings.Contains(strings.TrimPrefix(name, "/"), "/") && !strings.HasPrefix(name, "/"):
		return fault.New(fault.Validation, "Parameter name must be a fully qualified name.")
	case strings.Count(name, "/") > mostLevels:
		return fault.New(hierarchyLimit, "A hierarchy can have a maximum of %d levels.", mostLevels)
	}
	return nil
}

// find finds a parameter by its name or ARN; nil if there is none.
func (a *API) find(t *state.Tables, name string) *secrets.Parameter {
	if rest, ok := strings.CutPrefix(name, "arn:aws:ssm:"+a.Place.Region+":"+a.Place.Account+":parameter/"); ok {
		name = rest
	}
	return t.Parameters.Get(secrets.ParameterKey(name))
}

func (a *API) mustFind(t *state.Tables, name string) (*secrets.Parameter, error) {
	if p := a.find(t, name); p != nil {
		return p, nil
	}
	return nil, fault.New(notFound, "Parameter %.200s not found.", name)
}

// selector cuts NAME:VERSION or NAME:LABEL, of an ARN too. The selector keeps its colon.
func selector(ref string) (name, sel string) {
	from := 0
	if strings.HasPrefix(ref, "arn:") {
		if from = strings.Index(ref, ":parameter/"); from < 0 {
			return ref, ""
		}
		from++
	}
	if i := strings.LastIndexByte(ref[from:], ':'); i >= 0 {
		return ref[:from+i], ref[from+i:]
	}
	return ref, ""
}

// version chooses by a selector; the latest without one.
func version(p *secrets.Parameter, sel string) (*secrets.ParameterVersion, error) {
	if sel == "" {
		return p.Latest(), nil
	}
	n, err := strconv.ParseInt(sel[1:], 10, 64)
	i := slices.IndexFunc(p.Versions, func(v secrets.ParameterVersion) bool {
		return err == nil && v.Number == n || err != nil && slices.Contains(v.Labels, sel[1:])
	})
	if i < 0 {
		return nil, fault.New(versionNotFound, "Systems Manager could not find version %.100s of %s. Verify the version and try again.", sel[1:], p.Name)
	}
	return &p.Versions[i], nil
}

func at(m ecs.Millis) *time.Time {
	t := m.Time()
	return &t
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
