// Package names has the names that the members of Query services have on the wire where no rule gives them: in EC2 a list is
// "Filter" in a request, "groupSet" in an answer and SecurityGroups in Go. The SDK knows them only in its generated functions,
// from which gen.go takes them.
package names

import (
	"bufio"
	"embed"
	"fmt"
	"strings"
)

//go:generate go run gen.go sts iam elasticloadbalancingv2 ec2:ec2

//go:embed *.txt
var files embed.FS

// Name is how one member is called; an empty string means as the rule says.
type Name struct{ Request, Answer, Item string }

// Table has the members that are exceptions, by "Type.Field" in Go's names.
type Table map[string]Name

// For gives the table of a service by the name of its SDK package; an empty one for a service without exceptions.
func For(service string) (Table, error) {
	f, err := files.Open(service + ".txt")
	if err != nil {
		return Table{}, nil //nolint:nilerr // the file set is fixed at build time: no file, no exceptions
	}
	defer f.Close()
	t := Table{}
	sc := bufio.NewScanner(f)
	for line := 1; sc.Scan(); line++ {
		c := strings.Fields(sc.Text())
		if len(c) == 0 || c[0] == "#" {
			continue
		}
		if len(c) != 4 {
			return nil, fmt.Errorf("names: %s.txt:%d: want four columns", service, line)
		}
		for i := range c {
			if c[i] == "-" {
				c[i] = ""
			}
		}
		t[c[0]] = Name{Request: c[1], Answer: c[2], Item: c[3]}
	}
	return t, sc.Err()
}
