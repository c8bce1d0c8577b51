package wire

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// NameTable has the names of EC2's protocol that no rule gives: in requests a list's name is singular here and plural there
// (Filter, InstanceId, SubnetIds), in answers it is groupSet here and securityGroups there. The SDK has them only inside its
// generated functions, from which testdata/... is taken; see ec2names.
type NameTable map[string][2]string

// lookup gives a field's name in requests and in answers.
func (t NameTable) lookup(typ, fieldName string) (request, answer string) {
	request, answer = fieldName, strings.ToLower(fieldName[:1])+fieldName[1:]
	if n, ok := t[typ+"."+fieldName]; ok {
		if n[0] != "" {
			request = n[0]
		}
		if n[1] != "" {
			answer = n[1]
		}
	}
	return request, answer
}

// ReadNames reads a table: lines of "Type.Field request answer", a dash where the rule holds.
func ReadNames(r io.Reader) (NameTable, error) {
	t := NameTable{}
	sc := bufio.NewScanner(r)
	for line := 1; sc.Scan(); line++ {
		f := strings.Fields(sc.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) != 3 {
			return nil, fmt.Errorf("names: line %d: want three columns", line)
		}
		t[f[0]] = [2]string{strings.Trim(f[1], "-"), strings.Trim(f[2], "-")}
	}
	return t, sc.Err()
}
