//go:build ignore

// Gen reads the names of a Query service's members out of the SDK's generated functions, the only place where the SDK has
// them, and writes those that no rule gives. Run it, by go generate, after an update of the SDK.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

type names struct{ request, answer, item string }

func main() {
	for _, arg := range os.Args[1:] {
		service, style, _ := strings.Cut(arg, ":")
		if err := generate(service, style == "ec2"); err != nil {
			log.Fatal(err)
		}
	}
}

func generate(service string, ec2 bool) error {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/aws/aws-sdk-go-v2/service/"+service).Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	table := map[string]*names{}
	if err := requests(filepath.Join(dir, "serializers.go"), table); err != nil {
		return err
	}
	if err := answers(filepath.Join(dir, "deserializers.go"), table); err != nil {
		return err
	}
	return write(service, ec2, table)
}

func entry(table map[string]*names, typ, field string) *names {
	k := typ + "." + field
	if table[k] == nil {
		table[k] = &names{}
	}
	return table[k]
}

var (
	reSerialize = regexp.MustCompile(`^func aws\w+_serialize\w+\(v \*?(?:types\.)?(\w+), value query\.Value\) error`)
	reIf        = regexp.MustCompile(`^\tif (?:len\()?v\.(\w+)\)? (?:!= nil|> 0|)`)
	reBlock     = regexp.MustCompile(`^\t\w+Key := object\.(?:Flat)?Key\("([^"]+)"\)`)
	reCase      = regexp.MustCompile(`^\tcase \*types\.(\w+)Member(\w+):`)
	reKey       = regexp.MustCompile(`^\t\t\w+ := object\.(?:Flat)?Key\("([^"]+)"\)`)
	reDeser     = regexp.MustCompile(`^func aws\w+_deserialize\w+\(v \*\*?(?:types\.)?(\w+), decoder`)
	reDeserList = regexp.MustCompile(`^func (aws\w+_deserializeDocument\w+)\(v \*\[\]`)
	reFold      = regexp.MustCompile(`^\t\tcase strings\.EqualFold\("([^"]+)", t\.Name\.Local\)`)
	reTarget    = regexp.MustCompile(`\bsv\.(\w+)\b`)
	reUnion     = regexp.MustCompile(`uv = &types\.(\w+)Member(\w+)\{`)
	reCall      = regexp.MustCompile(`(aws\w+_deserializeDocument\w+)\(&sv\.(\w+),`)
)

func requests(path string, table map[string]*names) error {
	typ, field := "", ""
	return lines(path, func(l string) {
		if m := reSerialize.FindStringSubmatch(l); m != nil {
			typ = m[1]
		} else if strings.HasPrefix(l, "func ") {
			typ = ""
		}
		if typ == "" {
			return
		}
		if m := reIf.FindStringSubmatch(l); m != nil {
			field = m[1]
		} else if m := reCase.FindStringSubmatch(l); m != nil {
			field = m[2]
		}
		if m := reKey.FindStringSubmatch(l); m != nil && field != "" {
			entry(table, typ, field).request = m[1]
			field = ""
		}
	})
}

// answers reads the file twice: first the lists' item names, then the members.
func answers(path string, table map[string]*names) error {
	items, list := map[string]string{}, ""
	err := lines(path, func(l string) {
		if m := reDeserList.FindStringSubmatch(l); m != nil {
			list = m[1]
		} else if strings.HasPrefix(l, "func ") {
			list = ""
		}
		if m := reFold.FindStringSubmatch(l); m != nil && list != "" {
			items[list] = m[1]
		}
	})
	if err != nil {
		return err
	}
	typ, name := "", ""
	return lines(path, func(l string) {
		if m := reDeser.FindStringSubmatch(l); m != nil {
			typ, name = m[1], ""
		} else if strings.HasPrefix(l, "func ") {
			typ = ""
		}
		if typ == "" {
			return
		}
		if m := reFold.FindStringSubmatch(l); m != nil {
			name = m[1]
		}
		if m := reUnion.FindStringSubmatch(l); m != nil && name != "" {
			entry(table, m[1], m[2]).answer = name
		}
		if m := reCall.FindStringSubmatch(l); m != nil && items[m[1]] != "" {
			entry(table, typ, m[2]).item = items[m[1]]
		}
		if m := reTarget.FindStringSubmatch(l); m != nil && name != "" {
			entry(table, typ, m[1]).answer = name
			name = ""
		}
	})
}

func lines(path string, fn func(string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		fn(sc.Text())
	}
	return sc.Err()
}

func write(service string, ec2 bool, table map[string]*names) error {
	var out []string
	for k, n := range table {
		typ, field, _ := strings.Cut(k, ".")
		if strings.HasSuffix(typ, "Exception") {
			continue // an error's members are few and their names' case doesn't matter to a client
		}
		request, answer, item := field, field, "member"
		if ec2 {
			answer, item = strings.ToLower(field[:1])+field[1:], "item"
		}
		same := func(s *string, rule string) {
			if *s == "" || *s == rule {
				*s = "-"
			}
		}
		same(&n.request, request)
		same(&n.answer, answer)
		same(&n.item, item)
		if *n != (names{"-", "-", "-"}) {
			out = append(out, fmt.Sprintf("%s %s %s %s", k, n.request, n.answer, n.item))
		}
	}
	sort.Strings(out)
	head := "# Made by gen.go from the SDK: the member, its name in requests, in answers, and of a list's items in answers; - is the rule's.\n"
	return os.WriteFile(service+".txt", []byte(head+strings.Join(out, "\n")+"\n"), 0o644)
}
