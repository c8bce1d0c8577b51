package ssm

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"roadstead.dev/roadstead/internal/ecs"
	"roadstead.dev/roadstead/internal/fault"
	"roadstead.dev/roadstead/internal/secrets"
)

// filters are all to let a parameter through.
type filters []func(*secrets.Parameter) bool

func (f filters) pass(p *secrets.Parameter) bool {
	return !slices.ContainsFunc(f, func(test func(*secrets.Parameter) bool) bool { return !test(p) })
}

const mostFilterValues = 50

// readFilters reads ParameterFilters.
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ParameterStringFilter.html
func readFilters(list []types.ParameterStringFilter) (filters, error) {
	var out filters
	for _, f := range list {
		test, err := readFilter(f)
		if err != nil {
			return nil, err
		}
		out = append(out, test)
	}
	return out, nil
}

func readFilter(f types.ParameterStringFilter) (func(*secrets.Parameter) bool, error) {
	key, option := aws.ToString(f.Key), aws.ToString(f.Option)
	if len(f.Values) > mostFilterValues || len(f.Values) == 0 && !strings.HasPrefix(key, "tag:") {
		return nil, fault.New("InvalidFilterValue", "A filter has from 1 to %d values.", mostFilterValues)
	}
	if tag, ok := strings.CutPrefix(key, "tag:"); ok {
		return func(p *secrets.Parameter) bool {
			return slices.ContainsFunc(p.Tags, func(t ecs.Tag) bool {
				return t.Key == tag && (len(f.Values) == 0 || slices.Contains(f.Values, t.Value))
			})
		}, nil
	}
	if key == "Path" {
		return pathFilter(option, f.Values)
	}
	of := map[string]func(*secrets.Parameter) []string{
		"Name":     func(p *secrets.Parameter) []string { return []string{p.Name} },
		"Type":     func(p *secrets.Parameter) []string { return []string{p.Latest().Type} },
		"KeyId":    func(p *secrets.Parameter) []string { return []string{p.Latest().KeyID} },
		"Tier":     func(p *secrets.Parameter) []string { return []string{p.Tier} },
		"DataType": func(p *secrets.Parameter) []string { return []string{p.DataType} },
		"Label": func(p *secrets.Parameter) []string {
			var all []string
			for i := range p.Versions {
				all = append(all, p.Versions[i].Labels...)
			}
			return all
		},
	}[key]
	if of == nil {
		return nil, fault.New(invalidFilterKey, "The specified key isn't valid: %.80q.", key)
	}
	fits := map[string]func(a, b string) bool{
		"": func(a, b string) bool { return a == b }, "Equals": func(a, b string) bool { return a == b }, "BeginsWith": strings.HasPrefix, "Contains": strings.Contains,
	}[option]
	if fits == nil {
		return nil, fault.New(invalidFilterOpt, "The following filter option is not valid: %.80s. Valid options include: [BeginsWith, Equals]", option)
	}
	return func(p *secrets.Parameter) bool {
		return slices.ContainsFunc(of(p), func(have string) bool {
			return slices.ContainsFunc(f.Values, func(want string) bool { return fits(have, want) })
		})
	}, nil
}

func pathFilter(option string, paths []string) (func(*secrets.Parameter) bool, error) {
	if option != "" && option != "OneLevel" && option != "Recursive" {
		return nil, fault.New(invalidFilterOpt, "The following filter option is not valid: %.80s. Valid options include: [Recursive, OneLevel]", option)
	}
	return func(p *secrets.Parameter) bool {
		return slices.ContainsFunc(paths, func(path string) bool {
			rest, under := strings.CutPrefix(p.Name, strings.TrimSuffix(path, "/")+"/")
			return under && (option == "Recursive" || !strings.Contains(rest, "/"))
		})
	}, nil
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
